"""Many rows in one statement, with one parameter however many they are: JSON, which both databases take apart fast.

In PostgreSQL a statement for each row costs five times as much, arrays cost psycopg twice as much, and a parameter for
each value ends at 65,535 of them.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import orjson
from sqlalchemy import (
    JSON,
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    String,
    Table,
    Text,
    and_,
    any_,
    bindparam,
    cast,
    column,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

_GIVEN: Final = "given_"


def among(
    connection: Connection, subject: Column[Any], values: Collection[str] | Collection[int]
) -> ColumnElement[bool]:
    """Whether the column is one of the values."""
    if connection.dialect.name == "postgresql":
        items = func.json_array_elements_text(cast(_as_json(list(values)), JSON)).column_valued("item")
        # Text for strings: a cast to varchar(n) would cut a longer one, and find what was not asked for.
        item = items if isinstance(subject.type, String) else cast(items, subject.type)
        return subject == any_(func.array(select(item).scalar_subquery()))
    listed = func.json_each(_as_json(list(values))).table_valued("value")
    return subject.in_(select(listed.c.value))


def insert_rows(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, skip_known: bool = False
) -> None:
    """Insert in the given order; with skip_known, rows whose key is there already stay as they are."""
    if rows:
        _insert(connection, table, rows, skip_known=skip_known, returning=())


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], key: Column[str]) -> set[str]:
    """Insert in the given order what is not there yet; the keys of what was not."""
    if not rows:
        return set()
    return set(_insert(connection, table, rows, skip_known=True, returning=(key,)).scalars())


def _insert(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    skip_known: bool,
    returning: Sequence[Column[Any]],
) -> Any:
    if connection.dialect.name == "postgresql":
        given = _given(table, rows)
        statement = postgresql.insert(table).from_select(list(rows[0]), select(*given.c))
        if skip_known:
            statement = statement.on_conflict_do_nothing()
        return connection.execute(statement.returning(*returning) if returning else statement)
    one = sqlite.insert(table)
    if skip_known:
        one = one.on_conflict_do_nothing()
    return connection.execute(one.returning(*returning) if returning else one, rows)


def update_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], key: Column[str]) -> None:
    """Set what each row holds where the key is the row's."""
    if not rows:
        return
    changed = [name for name in rows[0] if name != key.name]
    if connection.dialect.name == "postgresql":
        given = _given(table, rows)
        statement = update(table).where(key == given.c[key.name]).values({name: given.c[name] for name in changed})
        connection.execute(statement)
        return
    one = update(table).where(key == bindparam(_GIVEN + key.name))
    one = one.values({name: bindparam(_GIVEN + name) for name in changed})
    connection.execute(one, [{_GIVEN + name: value for name, value in row.items()} for row in rows])


def delete_free_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Delete rows by all of their key, but for those that another transaction has locked: they are its to delete."""
    if not rows:
        return
    names = list(rows[0])
    if connection.dialect.name == "postgresql":
        given = _given(table, rows)
        is_given = and_(*(table.c[name] == given.c[name] for name in names))
        free = select(*(table.c[name] for name in names)).join(given, is_given)
        locked = free.with_for_update(skip_locked=True, of=table).cte("free")
        connection.execute(delete(table).where(and_(*(table.c[name] == locked.c[name] for name in names))))
        return
    one = delete(table).where(and_(*(table.c[name] == bindparam(_GIVEN + name) for name in names)))
    connection.execute(one, [{_GIVEN + name: value for name, value in row.items()} for row in rows])


def _given(table: Table, rows: Sequence[Mapping[str, Any]]) -> Any:
    columns = [column(name, table.c[name].type) for name in rows[0]]
    records = func.json_to_recordset(cast(_as_json(rows), JSON)).table_valued(*columns)
    return records.render_derived(name="given", with_types=True)


def _as_json(value: Any) -> BindParameter[str]:
    return bindparam(None, orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode(), Text(), unique=True)
