"""SOURCE of the command line: a file, a folder, or an account by its URL; read without changing it, and cleaned on demand."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from services.fetcher.cleaning import clean_mailbox
from services.fetcher.emptying import Empty, Judged, read_emptying, require_sendable
from services.fetcher.endpoint import Endpoint, Protocol, Tls, default_port
from services.fetcher.errors import ConnectionLost, LoginOver, MailboxError, MailUnreadable, SourceUnreadable
from services.fetcher.login import PasswordLogin
from services.fetcher.mailbox_files import Found, count_path, read_path
from services.fetcher.opening import open_mailbox
from services.fetcher.ports import Fetched, Listed, Mailbox, OpenMailbox
from services.fetcher.windows import WINDOW_MAILS, Windows
from shared.errors import ConfigurationError

_SCHEMES: Final = {
    "pop3": (Protocol.POP3, Tls.STARTTLS),
    "pop3s": (Protocol.POP3, Tls.IMPLICIT),
    "imap": (Protocol.IMAP, Tls.STARTTLS),
    "imaps": (Protocol.IMAP, Tls.IMPLICIT),
}

_FRUITLESS_LOGINS: Final = 3
"""In a row; then the rest of a mailbox is given up."""


@dataclass(frozen=True, slots=True)
class AccountUrl:
    """A mailbox as the command line names it; `text` is the URL as it was given, which holds no password."""

    text: str
    endpoint: Endpoint
    user: str
    folder: str


def is_account_url(spec: str) -> bool:
    """Whether a SOURCE is a mailbox on a server, and so needs a password."""
    return spec.partition("://")[0].lower() in _SCHEMES and "://" in spec


def read_account_url(spec: str) -> AccountUrl:
    """`pop3(s)://` or `imap(s)://user@host[:port][/folder]`. Raises SourceUnreadable.

    The schemes without s mean STARTTLS; `?tls=none` is the only way to a connection without any. `?ca=FILE` names an own
    certificate authority. A user name that holds an @ may be written as it is.
    """
    try:
        parts = urlsplit(spec)
    except ValueError as exc:
        raise SourceUnreadable(f"{_without_userinfo(spec)}: {exc}") from exc
    protocol, tls = _SCHEMES[parts.scheme.lower()]
    options = parse_qs(parts.query)
    wanted = options.pop("tls", [tls.value])[-1]
    ca_file = options.pop("ca", [""])[-1]
    user, at, place = parts.netloc.rpartition("@")
    if ":" in user:
        raise SourceUnreadable(
            f"{parts.scheme}://… names a password: leave it out, and set MAILROOM_PASSWORD or MAILROOM_PASSWORD_FILE"
        )
    try:
        port = parts.port
        host = parts.hostname or ""
    except ValueError as exc:
        raise SourceUnreadable(f"{spec}: {exc}") from exc
    if not at or not user or not place or not host:
        raise SourceUnreadable(f"{spec} names no user and host: write {parts.scheme}://user@host")
    if wanted != tls and (wanted != Tls.NONE or tls == Tls.IMPLICIT):
        raise SourceUnreadable(f"{spec}: tls={wanted} does not go with {parts.scheme}://; it takes tls=none at most")
    if options:
        raise SourceUnreadable(f"{spec}: unknown option {', '.join(sorted(options))}; there are tls and ca")
    folder = unquote(parts.path.strip("/"))
    if protocol == Protocol.POP3 and folder:
        raise SourceUnreadable(f"{spec}: POP3 knows no folders")
    endpoint = Endpoint(protocol, host, port or default_port(protocol, Tls(wanted)), Tls(wanted), _path(ca_file))
    account = AccountUrl(spec, endpoint, unquote(user), folder or ("INBOX" if protocol == Protocol.IMAP else ""))
    require_sendable(account.user + account.folder, spec.split("?")[0])
    return account


def open_source(spec: str, password: str = "", *, insecure: bool = False) -> Iterator[Found]:
    """Every mail of a SOURCE, at most 512 KiB each. Changes nothing, remembers nothing, raises nothing.

    What cannot be read, also a whole mailbox or a path that is not there, is a Found with an error; the rest goes on. `insecure`
    allows pop3:// and imap:// without TLS, as `?tls=none` does.
    """
    try:
        if not is_account_url(spec):
            yield from read_path(Path(spec))
            return
        account = read_account_url(_with_tls(spec, insecure=insecure))
        yield from _read_account(account, _opener(account, password))
    except (MailboxError, ConfigurationError) as exc:
        name = spec.split("?")[0] if is_account_url(spec) else spec
        yield Found(name if isinstance(exc, MailboxError) else _without_userinfo(name), error=f"{exc}")


def count_source(spec: str) -> int | None:
    """How many mails a SOURCE has, where that is cheap to know; for a progress bar."""
    return None if is_account_url(spec) else count_path(Path(spec))


def clean_source(
    spec: str,
    empty: str,
    read: Mapping[str, str],
    judge: Callable[[Sequence[str]], Mapping[str, Judged]],
    password: str = "",
    *,
    insecure: bool = False,
) -> int:
    """Delete or move what is recorded, as `--empty` says; how many mails that were.

    `empty` is bounces, all, nothing or move:FOLDER. `read` has the raw_id of every Found by its name. `judge` gives, of some
    raw_ids, those that are recorded and archived (SqlCheckpoint.judged is one); nothing else leaves the mailbox.
    Mails that POP3 cannot name for good are read again. Raises MailboxError, and SourceUnreadable for a
    SOURCE that is no account.
    """
    emptying = read_emptying(empty)
    if not is_account_url(spec):
        raise SourceUnreadable(f"{spec}: only a mailbox on a server is emptied; files are never changed")
    account = read_account_url(_with_tls(spec, insecure=insecure))
    if emptying.empty == Empty.MOVE and account.endpoint.protocol == Protocol.POP3:
        raise SourceUnreadable(f"{spec}: POP3 knows no folders to move to; choose bounces, all or nothing")

    def recorded(mailbox: Mailbox) -> list[tuple[str, Judged]]:
        names = {mail.uid: _name(account, mailbox, mail) for mail in mailbox.listing() if mail.is_lasting}
        raw_ids = {uid: read[name] for uid, name in names.items() if name in read}
        judged = judge(sorted(set(raw_ids.values())))
        return [(uid, judged[raw_id]) for uid, raw_id in raw_ids.items() if raw_id in judged]

    return len(clean_mailbox(_opener(account, password), emptying, recorded, judge).uids)


def _opener(account: AccountUrl, password: str) -> OpenMailbox:
    return partial(open_mailbox, account.endpoint, PasswordLogin(account.user, password), account.folder)


def _read_account(account: AccountUrl, open_mailbox: OpenMailbox) -> Iterator[Found]:
    """Where a connection breaks at several mails, they are read one by one in a new login; at one mail, that is passed over."""
    done: set[str] = set()
    is_careful = False
    fruitless = 0
    while True:
        try:
            with open_mailbox(False) as mailbox:
                windows = Windows(mail for mail in mailbox.listing() if mail.uid not in done)
                while not windows.is_empty:
                    together = windows.take(1 if is_careful or not mailbox.reads_together else WINDOW_MAILS)
                    try:
                        readings = mailbox.read(together)
                    except ConnectionLost as exc:
                        is_careful = True
                        if len(together) == 1 and not isinstance(exc, LoginOver):
                            done.add(together[0].uid)
                            yield Found(
                                name := _name(account, mailbox, together[0]), error=f"{name} cannot be read: {exc}"
                            )
                        raise
                    for mail in together:
                        yield _found(_name(account, mailbox, mail), readings.get(mail.uid))
                    done.update(mail.uid for mail in together)
                    fruitless = 0
                return
        except ConnectionLost:
            fruitless += 1
            if fruitless > _FRUITLESS_LOGINS:
                raise


def _found(name: str, reading: Fetched | MailUnreadable | None) -> Found:
    if isinstance(reading, Fetched):
        return Found(name, reading.raw, reading.received_at, reading.truncated)
    return Found(name, error=f"{name} cannot be read: {reading or 'it is no longer there'}")


def _name(account: AccountUrl, mailbox: Mailbox, mail: Listed) -> str:
    place = f"{mailbox.uidvalidity}/" if mailbox.uidvalidity else ""
    return f"{account.text.split('?')[0]}#{place}{mail.uid.removeprefix('#')}"


def _with_tls(spec: str, *, insecure: bool) -> str:
    if not insecure or spec.lower().startswith(("pop3s:", "imaps:")) or "tls=" in spec:
        return spec
    return f"{spec}{'&' if '?' in spec else '?'}tls=none"


def _without_userinfo(url: str) -> str:
    scheme, colon, rest = url.partition("://")
    bare = f"{scheme}{colon}…@{rest.rpartition('@')[2]}" if colon and "@" in rest else url
    head, mark, asked = bare.partition("?")
    return f"{head}{mark}{'&'.join(_without_value(one) for one in asked.split('&'))}" if colon and mark else bare


def _without_value(pair: str) -> str:
    """Of what is asked for only what we know is repeated: the rest may hold a password."""
    name, sign, value = pair.partition("=")
    return pair if name == "tls" else f"{name}{sign}{'…' * bool(value)}"


def _path(text: str) -> Path | None:
    return Path(text) if text else None
