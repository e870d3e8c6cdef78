"""Sealing anew with the first key whatever an older one sealed, so that the older one can be taken away."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Column, Engine, Row, Table, select, update

from services.fetcher.lists_sql import read_account
from services.fetcher.tokens_sql import SEALED_COLUMNS, purpose_of
from shared.errors import ConfigurationError
from shared.secrets import SecretBox
from shared.tables.fetcher import bounce_account, login_token
from shared.tables.transactions import transaction

BATCH: Final = 200


@dataclass(frozen=True, slots=True)
class Sealed:
    """A column that holds sealed texts."""

    table: Table
    key: Column[str]
    """The table's primary key."""
    column: Column[Any]
    purpose: Callable[[Row[Any]], str]
    """What the row's text is sealed for."""


SEALED: Final[Sequence[Sealed]] = [
    Sealed(
        bounce_account,
        bounce_account.c.name,
        bounce_account.c.secret,
        lambda row: read_account(row).secret_purpose,
    ),
    *(
        Sealed(
            login_token,
            login_token.c.account,
            login_token.c[f"sealed_{name}"],
            lambda row, name=name: purpose_of(row.purpose, name),  # type: ignore[misc]
        )
        for name in SEALED_COLUMNS
    ),
]
"""All such columns of the database."""


@dataclass(slots=True)
class Rotated:
    """What a rotation did."""

    anew: int = 0
    kept: int = 0
    """The first key had sealed them already."""
    failures: list[str] = field(default_factory=list)
    """What cannot be opened is left as it is."""


def rotate(engine: Engine, box: SecretBox, sealed: Sequence[Sealed] = SEALED, batch: int = BATCH) -> Rotated:
    """Safe while traffic runs, and to be repeated after an interruption: each batch is a transaction."""
    done = Rotated()
    for one in sealed:
        last: str | None = ""
        while last is not None:
            last = _rotate_batch(engine, box, one, last, batch, done)
    return done


def _rotate_batch(engine: Engine, box: SecretBox, one: Sealed, after: str, batch: int, done: Rotated) -> str | None:
    """The last key of the batch; None when there are no more."""
    rows = select(one.table).where(one.key > after, one.column.is_not(None)).order_by(one.key).limit(batch)
    with transaction(engine) as connection:
        found = connection.execute(rows.with_for_update()).all()
        for row in found:
            key, text = row._mapping[one.key], row._mapping[one.column]
            if not box.is_stale(text):
                done.kept += 1
                continue
            try:
                purpose = one.purpose(row)
                anew = box.seal(box.open(text, purpose), purpose)
            except ConfigurationError as exc:  # it does not open, or its row is damaged
                done.failures.append(str(exc))
                continue
            connection.execute(update(one.table).where(one.key == key).values({one.column: anew}))
            done.anew += 1
    return str(found[-1]._mapping[one.key]) if len(found) == batch else None
