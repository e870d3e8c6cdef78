"""The bounce accounts of the database, read at each request, and both books of accounts as one."""

from collections.abc import Callable

from services.fetcher.accounts import Account, Accounts
from services.fetcher.emptying import read_emptying
from services.fetcher.endpoint import Endpoint
from services.fetcher.errors import AccountUnusable, UnknownAccount
from services.fetcher.lists_sql import SqlLists, Stored
from services.fetcher.login_factory import LoginFactory, make_login
from services.fetcher.ports import AccountBook
from services.fetcher.reach import ANYWHERE, Reach
from shared.errors import ConfigurationError
from shared.secrets import SecretBox


class SqlAccounts:
    """Lists and their accounts as `mailroom lists` wrote them."""

    def __init__(
        self,
        lists: SqlLists,
        open_box: Callable[[], SecretBox],
        reach: Reach = ANYWHERE,
        make_login: LoginFactory = make_login,
    ) -> None:
        """`open_box` is called for every account that has a secret: a key file that changes needs no restart either."""
        self._lists = lists
        self._open_box = open_box
        self._reach = reach
        self._make_login = make_login

    def find(self, name: str) -> Account:
        """Raises UnknownAccount, AccountUnusable, DatabaseUnreachable."""
        try:
            stored = self._lists.find_account(name)
            if stored is not None:
                return self._read(stored)
        except (ConfigurationError, ValueError) as exc:
            raise AccountUnusable(f"the account {name!r} cannot be used: {exc}") from exc
        raise UnknownAccount(
            f"there is no account {name!r}: add it with `mailroom lists add` (or to the accounts file, and restart the fetcher), "
            "and replay this request"
        )

    def _read(self, stored: Stored) -> Account:
        account = stored.account
        secret = self._open_box().open(stored.secret, account.secret_purpose) if stored.secret else ""
        endpoint = Endpoint(
            account.protocol, account.host, account.port, account.tls, ca_pem=account.ca_pem, reach=self._reach
        )
        endpoint.context()
        return Account(
            account.name,
            endpoint,
            self._make_login(account.name, account.login, account.user, secret, account.secret_purpose),
            account.folder,
            read_emptying(account.empty),
            stored.lists[0] if len(stored.lists) == 1 else None,  # else nobody can tell whose a bounce is
        )


class BothBooks:
    """A name in the file wins: a deployment that has its accounts as configuration is not overruled by a row."""

    def __init__(self, file: Accounts, database: AccountBook) -> None:
        self._file = file
        self._database = database

    def find(self, name: str) -> Account:
        """As AccountBook.find."""
        return (self._file if name in self._file.names else self._database).find(name)
