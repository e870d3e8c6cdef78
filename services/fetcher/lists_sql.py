"""Lists and accounts on PostgreSQL and SQLite. Secrets come and go sealed: this file has no key."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, and_, delete, exists, func, or_, select, text, update
from sqlalchemy.exc import IntegrityError

from services.fetcher.endpoint import Protocol, Tls
from services.fetcher.lists import BounceAccount, ContactList, told
from services.fetcher.tokens_sql import OAUTH2
from shared.errors import ConfigurationError
from shared.tables.auditing import note
from shared.tables.contacts import contact
from shared.tables.fetcher import bounce_account, contact_list, found, login_token, run
from shared.tables.transactions import transaction

_CONTACTS_AT_ONCE: Final = 20_000


class UnknownList(ConfigurationError):
    """No list has that name."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An account, its sealed secret, and the lists that share it, by name."""

    account: BounceAccount
    secret: str | None
    lists: Sequence[str]
    updated_at: datetime | None = None
    """When its row was written last: whoever writes it says which one they saw."""


class SqlLists:
    """Every method is one transaction, and raises DatabaseUnreachable when waiting may help."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def engine(self) -> Engine:
        """The database, for what stands beside this in it."""
        return self._engine

    def lists(self) -> list[ContactList]:
        """All, by name."""
        with transaction(self._engine, is_reading=True) as connection:
            return [_list(row) for row in connection.execute(select(contact_list).order_by(contact_list.c.list_id))]

    def find_list(self, list_id: str) -> ContactList:
        """Raises UnknownList."""
        with transaction(self._engine, is_reading=True) as connection:
            return _required(connection, list_id)

    def find_with_account(self, list_id: str) -> tuple[ContactList, Stored | None]:
        """The list and its account, if it has one. Raises UnknownList."""
        with transaction(self._engine, is_reading=True) as connection:
            one = _required(connection, list_id)
            return one, _stored(connection, one.account) if one.account else None

    def account_of(self, name: str) -> str:
        """The name of a list's account; any other name is taken for an account's own. Raises ConfigurationError."""
        with transaction(self._engine, is_reading=True) as connection:
            row = connection.execute(select(contact_list).where(contact_list.c.list_id == name)).one_or_none()
        if row is None:
            return name
        if row.account is None:
            raise ConfigurationError(
                f"the list {name!r} has no bounce account yet: `mailroom lists edit {name} --server …`"
            )
        return str(row.account)

    def page(self, after: str, size: int, words: str = "") -> list[tuple[ContactList, Stored | None]]:
        """So many lists after that name, by name, each with its account; with `words`, those that have them somewhere."""
        name, title, mail = contact_list.c.list_id, contact_list.c.title, contact_list.c.bounce_email
        chosen = select(contact_list).where(name > after).order_by(name).limit(size)
        if words:
            chosen = chosen.where(or_(*(column.icontains(words, autoescape=True) for column in (name, title, mail))))
        with transaction(self._engine, is_reading=True) as connection:
            lists = [_list(row) for row in connection.execute(chosen)]
            names = {one.account for one in lists if one.account}
            rows = connection.execute(select(bounce_account).where(bounce_account.c.name.in_(names)))
            stored = {
                row.name: Stored(read_account(row), row.secret, _sharing(connection, row.name), row.updated_at)
                for row in rows.all()
            }
        return [(one, stored.get(one.account or "")) for one in lists]

    def accounts(self) -> list[Stored]:
        """All, by name."""
        with transaction(self._engine, is_reading=True) as connection:
            shared: dict[str, list[str]] = {}
            for row in connection.execute(select(contact_list).order_by(contact_list.c.list_id)):
                shared.setdefault(row.account, []).append(row.list_id)
            rows = connection.execute(select(bounce_account).order_by(bounce_account.c.name))
            return [Stored(read_account(row), row.secret, shared.get(row.name, []), row.updated_at) for row in rows]

    def find_account(self, name: str) -> Stored | None:
        """None when there is none of that name."""
        with transaction(self._engine, is_reading=True) as connection:
            return _stored(connection, name)

    def is_taken(self, name: str) -> bool:
        """Whether this name was ever an account's: what was found under it belongs to that mailbox for good."""
        with transaction(self._engine, is_reading=True) as connection:
            known = (
                exists().where(column == name) for column in (bounce_account.c.name, run.c.account, found.c.account)
            )
            return any(connection.execute(select(one)).scalar_one() for one in known)

    def add(self, one: ContactList, account: BounceAccount | None, secret: str | None, who: str) -> None:
        """A new list, with a new account unless that is None. Raises ConfigurationError for what is there already."""
        with _refusing_doubles(self._engine) as connection:
            if account is not None:
                _insert(connection, account, secret)
            connection.execute(contact_list.insert().values(**_list_values(one)))
            note(connection, who, "list-add", one.list_id, told(account) if account else _shared(one))

    def give_account(self, one: ContactList, account: BounceAccount | None, secret: str | None, who: str) -> None:
        """To a list that has none: a new account, or None and one that is there. Raises ConfigurationError."""
        with _refusing_doubles(self._engine) as connection:
            if account is not None:
                _insert(connection, account, secret)
            where = contact_list.c.list_id == one.list_id
            connection.execute(update(contact_list).where(where).values(**_list_values(one)))
            note(connection, who, "account-add", one.list_id, told(account) if account else _shared(one))

    def change_list(self, one: ContactList, who: str) -> None:
        """Title and address, and nothing else: its account may be another meanwhile. Raises UnknownList."""
        with transaction(self._engine) as connection:
            before = _required(connection, one.list_id)
            if (before.title, before.bounce_email) == (one.title, one.bounce_email):
                return
            where = contact_list.c.list_id == one.list_id
            connection.execute(update(contact_list).where(where).values(title=one.title, bounce_email=one.bounce_email))
            note(connection, who, "list-change", one.list_id, f"{one.title!r}, {one.bounce_email}")

    def change_account(self, seen: Stored, account: BounceAccount, secret: str | None, who: str) -> None:
        """Its settings, for all lists that share it. Under another name it is another mailbox: a new account in its place.

        Raises ConfigurationError when it is no longer as it was seen: what somebody else wrote meanwhile stays.
        """
        name = seen.account.name
        with _refusing_doubles(self._engine) as connection:
            chosen = select(bounce_account).where(bounce_account.c.name == name).with_for_update()
            row = connection.execute(chosen).one_or_none()
            if row is None:
                raise ConfigurationError(f"the account {name!r} was removed meanwhile")
            if (row.updated_at, row.secret) != (seen.updated_at, seen.secret):
                raise ConfigurationError(
                    f"somebody changed the account {name!r} meanwhile, and nothing was saved: look at it, and try again"
                )
            new_password = "" if secret == seen.secret else "another password"
            why = ", ".join(filter(None, [told(account, seen.account), new_password])) or "tested again"
            for list_id in _sharing(connection, name):
                note(connection, who, "account-change", list_id, why)
            if account.name == name:
                values = {**_account_values(account), "secret": secret, "updated_at": datetime.now(UTC)}
                connection.execute(update(bounce_account).where(bounce_account.c.name == name).values(**values))
                if account.login != OAUTH2:
                    connection.execute(delete(login_token).where(login_token.c.account == name))
                return
            _insert(connection, account, secret)
            connection.execute(update(contact_list).where(contact_list.c.account == name).values(account=account.name))
            connection.execute(delete(bounce_account).where(bounce_account.c.name == name))

    def remove(self, list_id: str, who: str) -> str | None:
        """Drop the list, and with the last list of an account the account, whose name is given then. Raises UnknownList.

        Its contacts go first, some at a time. What was found, reported and counted stays.
        """
        while self._remove_contacts(list_id):
            pass
        with _refusing_doubles(self._engine) as connection:
            name = _required(connection, list_id).account
            # Whoever removes, or takes, another of its lists now comes after us: the last one takes the account along.
            connection.execute(select(bounce_account.c.name).where(bounce_account.c.name == name).with_for_update())
            connection.execute(delete(contact).where(contact.c.list_id == list_id))
            connection.execute(delete(contact_list).where(contact_list.c.list_id == list_id))
            is_last = name is not None and not _sharing(connection, name)
            note(connection, who, "list-remove", list_id, f"with its account {name}" if is_last else "")
            if not is_last:
                return None
            connection.execute(delete(bounce_account).where(bounce_account.c.name == name))
            return name

    def _remove_contacts(self, list_id: str) -> bool:
        """Whether there may be more."""
        some = select(contact.c.recipient).where(contact.c.list_id == list_id).limit(_CONTACTS_AT_ONCE)
        with transaction(self._engine) as connection:
            _required(connection, list_id)
            is_some = and_(contact.c.list_id == list_id, contact.c.recipient.in_(some))
            gone = connection.execute(delete(contact).where(is_some)).rowcount
            left = contact_list.c.contacts - gone
            connection.execute(update(contact_list).where(contact_list.c.list_id == list_id).values(contacts=left))
        return bool(gone == _CONTACTS_AT_ONCE)


@contextmanager
def _refusing_doubles(engine: Engine) -> Iterator[Connection]:
    """A transaction in which what is there already is a ConfigurationError."""
    try:
        with transaction(engine) as connection:
            yield connection
    except IntegrityError as exc:
        raise ConfigurationError(
            "a list or an account of that name, or another account with that mailbox, is there already: see `mailroom lists`"
        ) from exc


def _required(connection: Connection, list_id: str) -> ContactList:
    row = connection.execute(select(contact_list).where(contact_list.c.list_id == list_id)).one_or_none()
    if row is None:
        count = connection.execute(select(func.count()).select_from(contact_list)).scalar_one()
        advice = "`mailroom lists` shows them" if count else "there is none yet; `mailroom lists add` adds one"
        raise UnknownList(f"there is no list {list_id!r}: {advice}")
    return _list(row)


def _stored(connection: Connection, account: str) -> Stored | None:
    row = connection.execute(select(bounce_account).where(bounce_account.c.name == account)).one_or_none()
    if row is None:
        return None
    return Stored(read_account(row), row.secret, _sharing(connection, account), row.updated_at)


def _shared(one: ContactList) -> str:
    return f"shares the account {one.account}" if one.account else "without a bounce account"


def _sharing(connection: Connection, account: str) -> list[str]:
    names = select(contact_list.c.list_id).where(contact_list.c.account == account).order_by(contact_list.c.list_id)
    return list(connection.execute(names).scalars())


def _insert(connection: Connection, account: BounceAccount, secret: str | None) -> None:
    """Of two that add the same mailbox at once, by whatever protocol, the second is refused."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('mailroom.accounts'))"))
    for row in connection.execute(select(bounce_account).where(bounce_account.c.host == account.host)):
        if row.name != account.name and read_account(row).mailbox == account.mailbox:
            raise ConfigurationError(f"the account {row.name!r} reads that mailbox already: see `mailroom lists`")
    now = datetime.now(UTC)
    connection.execute(
        bounce_account.insert().values(**_account_values(account), secret=secret, created_at=now, updated_at=now)
    )


def _account_values(account: BounceAccount) -> dict[str, Any]:
    return {
        "name": account.name,
        "protocol": account.protocol.value,
        "host": account.host,
        "port": account.port,
        "tls": account.tls.value,
        "user_name": account.user,
        "login": account.login,
        "ca_pem": account.ca_pem or None,
        "folder": account.folder,
        "empty": account.empty,
        "interval_s": account.interval_s,
        "is_active": account.is_active,
    }


def read_account(row: Row[Any]) -> BounceAccount:
    """Of a row of the table. Raises ConfigurationError for words that this version does not know."""
    try:
        protocol, tls = Protocol(row.protocol), Tls(row.tls)
    except ValueError as exc:
        raise ConfigurationError(
            f"the account {row.name!r} cannot be read ({exc}): was its row changed by hand, or by a newer version?"
        ) from None
    return BounceAccount(
        row.name,
        protocol,
        row.host,
        row.port,
        tls,
        row.user_name,
        row.login,
        row.ca_pem or "",
        row.folder,
        row.empty,
        row.interval_s,
        row.is_active,
    )


def _list_values(one: ContactList) -> dict[str, Any]:
    return {"list_id": one.list_id, "title": one.title, "bounce_email": one.bounce_email, "account": one.account}


def _list(row: Row[Any]) -> ContactList:
    return ContactList(row.list_id, row.bounce_email, row.title, row.account)
