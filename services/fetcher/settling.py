"""What a person asks of a list's account becomes an account that was tried, and can be stored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from services.fetcher.emptying import Empty, read_emptying
from services.fetcher.endpoint import Endpoint, Protocol, Tls, default_port
from services.fetcher.errors import MailboxError
from services.fetcher.lists import BounceAccount, Way, account_name, check_account, read_server, ways
from services.fetcher.lists_sql import SqlLists, Stored
from services.fetcher.login_factory import PASSWORD, LoginFactory, make_login
from services.fetcher.reach import ANYWHERE, Reach
from services.fetcher.tokens_sql import OAUTH2
from services.fetcher.trial import Trial, try_settings
from shared.errors import ConfigurationError
from shared.secrets import SecretBox


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person gave; None is what was not said."""

    server: str | None = None
    user: str | None = None
    protocol: Protocol | None = None
    tls: Tls | None = None
    """None is also auto detect."""
    is_auto: bool = False
    """Detect anew, though nothing else changes."""
    ca_pem: str | None = None
    folder: str | None = None
    empty: str | None = None
    interval_s: int | None = None
    is_active: bool | None = None
    has_new_password: bool = False
    is_by_token: bool = False
    """OAuth2: saved without a password, and tried when somebody logs in."""

    def says_anything(self) -> bool:
        """Whether there is anything to change."""
        return self != Wanted()


class TrialFailed(ConfigurationError):
    """The settings do not work, so nothing was saved."""

    def __init__(self, trial: Trial, error: MailboxError) -> None:
        super().__init__(f"nothing was saved: {error}")
        self.trial = trial


@dataclass(frozen=True, slots=True)
class Settled:
    """An account to be stored, its sealed secret, and what the trial found; no trial where nothing needed one."""

    account: BounceAccount
    secret: str | None
    trial: Trial | None


class Settling:
    """Turns what is wanted into what is stored. `ask` gives the password, and is called only when one is needed."""

    def __init__(
        self,
        lists: SqlLists,
        open_box: Callable[[], SecretBox],
        ask: Callable[[BounceAccount], str],
        *,
        reach: Reach = ANYWHERE,
        make_login: LoginFactory = make_login,
    ) -> None:
        self._lists = lists
        self._open_box = open_box
        self._ask = ask
        self._reach = reach
        self._make_login = make_login

    def add(self, list_id: str, bounce_email: str, wanted: Wanted, *, is_tried: bool = True) -> Stored | Settled:
        """The account that reads that mailbox already, whose settings are shared; else a new one, tried.

        Raises ConfigurationError, TrialFailed among them.
        """
        if wanted.server is None:
            raise ConfigurationError("the name of the incoming mail server is missing")
        host, port = read_server(wanted.server)
        protocol = wanted.protocol or Protocol.POP3
        draft = _with(BounceAccount("", protocol, host, 0, Tls.IMPLICIT, bounce_email), wanted)
        for stored in self._lists.accounts():
            if stored.account.mailbox == draft.mailbox:
                _require_alike(stored, wanted, port)
                return stored
        return self._settle(draft, port, wanted, list_id, is_tried=is_tried)

    def edit(self, list_id: str, stored: Stored, wanted: Wanted, *, is_tried: bool = True) -> Settled:
        """The account with what was said changed; tried anew when that is about the way to the mailbox.

        Another way needs the password again: what is stored was sealed for the old one, and is sent over no other.

        Raises ConfigurationError, TrialFailed among them.
        """
        old = stored.account
        host, port = read_server(wanted.server) if wanted.server is not None else (old.host, None)
        new = _with(replace(old, host=host), wanted)
        for other in self._lists.accounts():
            if other.account.name != old.name and other.account.mailbox == new.mailbox:
                raise ConfigurationError(
                    f"the account {other.account.name!r} reads that mailbox for {listed(other.lists)}: remove this list and add "
                    "it again to share it"
                )
        is_way_new = wanted.server is not None or new.protocol != old.protocol or wanted.tls or wanted.is_auto
        if is_way_new:
            has_own_port = old.port != default_port(old.protocol, old.tls)
            if wanted.server is None and has_own_port:
                port = old.port
            asks = replace(wanted, has_new_password=True) if not _stays_by_token(old, wanted) else _by_token(wanted)
            return self._settle(new, port, asks, list_id, stored, is_tried=is_tried)
        is_move_new = new.empty != old.empty and read_emptying(new.empty).empty == Empty.MOVE
        is_trial_due = (
            wanted.has_new_password
            or is_move_new
            or (new.ca_pem, new.folder, new.user) != (old.ca_pem, old.folder, old.user)
        )
        has_new_password = wanted.has_new_password or new.ca_pem != old.ca_pem
        kept = replace(wanted, tls=old.tls, has_new_password=has_new_password)
        if has_new_password and _stays_by_token(old, wanted):
            kept = _by_token(kept)
        return self._settle(new, old.port, kept, list_id, stored, is_tried=is_tried and is_trial_due)

    def _settle(
        self,
        draft: BounceAccount,
        port: int | None,
        wanted: Wanted,
        list_id: str,
        stored: Stored | None = None,
        *,
        is_tried: bool,
    ) -> Settled:
        plan = ways(draft.protocol, port, wanted.tls)
        if not is_tried and len(plan) > 1:
            raise ConfigurationError(
                "auto detect has to connect: without a test choose the encryption by hand, implicit TLS or STARTTLS"
            )
        is_new = stored is None or (stored.account.host, stored.account.user) != (draft.host, draft.user)
        if is_new:  # what is known of a mailbox goes by its account's name
            draft = replace(draft, name=account_name(list_id, self._lists.is_taken))
        draft = replace(draft, port=plan[0].port, tls=plan[0].tls)
        check_account(draft)
        if wanted.is_by_token:
            return _without_tokens_yet(draft)
        is_asked = is_new or wanted.has_new_password
        box = self._open_box() if is_asked or is_tried else None
        kept = stored.secret if stored is not None and not is_asked else None
        password = ""
        if is_asked:
            draft = replace(draft, login=PASSWORD)
            password = self._ask(draft)
        elif box is not None and kept is not None:
            password = box.open(kept, draft.secret_purpose)
        trial = None
        if is_tried:
            trial = self.try_account(draft, password, plan)
            if trial.error is not None or trial.endpoint is None:
                raise TrialFailed(trial, trial.error or MailboxError("nothing was tried"))
            draft = replace(draft, port=trial.endpoint.port, tls=trial.endpoint.tls)
        sealed = box.seal(password, draft.secret_purpose) if box is not None and is_asked else kept
        return Settled(draft, sealed, trial)

    def try_stored(self, stored: Stored) -> Trial:
        """As it is stored, and so as it is fetched. Raises ConfigurationError."""
        account = stored.account
        password = self._open_box().open(stored.secret, account.secret_purpose) if stored.secret else ""
        return self.try_account(account, password, [Way(account.port, account.tls)])

    def try_account(self, account: BounceAccount, password: str, plan: Sequence[Way]) -> Trial:
        """Connect in one of these ways. Raises ConfigurationError for what no mail server takes."""
        endpoint = Endpoint(
            account.protocol, account.host, account.port, account.tls, ca_pem=account.ca_pem, reach=self._reach
        )
        login = self._make_login(account.name, account.login, account.user, password, account.secret_purpose)
        return try_settings(endpoint, plan, login, account.folder, read_emptying(account.empty))


def _stays_by_token(old: BounceAccount, wanted: Wanted) -> bool:
    return wanted.is_by_token or (old.login == OAUTH2 and not wanted.has_new_password)


def _by_token(wanted: Wanted) -> Wanted:
    return replace(wanted, is_by_token=True, has_new_password=False)


def _without_tokens_yet(draft: BounceAccount) -> Settled:
    if draft.tls == Tls.NONE:
        raise ConfigurationError("a token is only sent over TLS: choose implicit TLS or STARTTLS")
    return Settled(replace(draft, login=OAUTH2), None, None)


def listed(names: Sequence[str]) -> str:
    """`the list a`, `the lists a and b`, `the lists a, b and c`."""
    if len(names) < 2:
        return f"the list {names[0]}" if names else "no list"
    return f"the lists {', '.join(names[:-1])} and {names[-1]}"


def _with(account: BounceAccount, wanted: Wanted) -> BounceAccount:
    protocol = wanted.protocol or account.protocol
    folder = account.folder if protocol == account.protocol else ""
    if wanted.folder is not None:
        folder = wanted.folder
    return replace(
        account,
        protocol=protocol,
        user=account.user if wanted.user is None else wanted.user,
        ca_pem=account.ca_pem if wanted.ca_pem is None else wanted.ca_pem,
        folder=folder or ("INBOX" if protocol == Protocol.IMAP else ""),
        empty=account.empty if wanted.empty is None else wanted.empty,
        interval_s=account.interval_s if wanted.interval_s is None else wanted.interval_s,
        is_active=account.is_active if wanted.is_active is None else wanted.is_active,
    )


def _require_alike(stored: Stored, wanted: Wanted, port: int | None) -> None:
    """A list that joins an account does not change it under the others' feet."""
    account = stored.account
    asked = replace(_with(account, wanted), port=port or account.port, tls=wanted.tls or account.tls)
    if others := [label for label, read in _LABELS.items() if read(asked) != read(account)]:
        of = stored.lists[0] if stored.lists else account.name
        raise ConfigurationError(
            f"{account.user} at {account.host} is read for {listed(stored.lists)} already, with another "
            f"{' and another '.join(others)}: leave that out to share the account. Whoever edits the list {of} changes it for "
            "all of them"
        )


_LABELS: Final[Mapping[str, Callable[[BounceAccount], object]]] = {
    "account type": lambda one: one.protocol,
    "port": lambda one: one.port,
    "encryption": lambda one: one.tls,
    "certificate authority": lambda one: one.ca_pem,
    "choice of what leaves the inbox": lambda one: one.empty,
    "interval": lambda one: one.interval_s,
    "pause": lambda one: one.is_active,
}
"""What lists that share an account share, by the words for it."""
