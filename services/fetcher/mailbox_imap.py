"""An IMAP folder: known by UIDVALIDITY and UID, examined while it is read, selected only to clean (RFC 3501, 4315, 6851)."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from imapclient import DELETED
from imapclient.exceptions import (
    IMAPClientAbortError,
    IMAPClientError,
    IMAPClientReadOnlyError,
    LoginError,
    ProtocolError,
)

from services.fetcher.emptying import require_sendable
from services.fetcher.endpoint import Endpoint, Tls
from services.fetcher.errors import (
    CannotClean,
    ConnectionLost,
    FolderMissing,
    LoginOver,
    LoginRefused,
    MailboxLocked,
    MailboxUnreachable,
    MailUnreadable,
    StartTlsMissing,
    connection_error,
    is_temporary_refusal,
)
from services.fetcher.imap_answers import LISTED, READ, Answers, read_listing, read_mails
from services.fetcher.imap_connection import connect_imap
from services.fetcher.login import Login
from services.fetcher.ports import Fetched, Listed
from services.fetcher.watchdog import Watchdog, opening

_LIST_CHUNK: Final = 5_000
_LINE_TOO_LONG: Final = "got more than"
_STORE_CHUNK: Final = 200
_UIDVALIDITY_LIMIT: Final = 2**32 - 1
"""RFC 3501 §9, nz-number. A server that gives none has no lasting UIDs (§6.3.1)."""
_IN_USE: Final = "[INUSE]"
_FOR_GOOD: Final = re.compile(r"\[(?:AUTHENTICATIONFAILED|AUTHORIZATIONFAILED|EXPIRED)\]", re.IGNORECASE)
"""RFC 5530 §3. Also on a BYE: the same login again would be refused again, and in the end lock the account."""


def open_imap(endpoint: Endpoint, login: Login, folder: str, *, to_clean: bool) -> "ImapMailbox":
    """Connect, encrypt, log in, open the folder; read-only unless it is to be cleaned. Raises MailboxError."""
    require_sendable(folder, "the folder")
    plain = endpoint.connect()
    with opening(endpoint, plain):
        client = connect_imap(endpoint, plain)
        try:
            if endpoint.tls == Tls.STARTTLS:
                _start_tls(client, endpoint)
            _log_in(client, endpoint, login)
            selected = _select(client, folder, to_clean=to_clean)
            return ImapMailbox(client, folder, selected, is_writable=to_clean, step_s=endpoint.deadlines.step_s)
        except BaseException:
            _shut(client)
            raise


def _start_tls(client: Any, endpoint: Endpoint) -> None:
    where = f"{endpoint.host} port {endpoint.port}"
    if client.welcome.upper().startswith(b"* PREAUTH"):
        # then STARTTLS is no longer allowed, which is how it can be stripped (RFC 9051 §11.1)
        raise StartTlsMissing(f"{where} says that it needs no login, and so allows no STARTTLS; nothing was sent")
    try:
        client.starttls(endpoint.context())
    except OSError as exc:
        raise connection_error(exc, endpoint.host, endpoint.port) from exc
    except IMAPClientError as exc:
        raise StartTlsMissing(
            f"{where} offers no STARTTLS ({exc}); nothing was sent. Set tls to implicit and port 993, or ask its operator"
        ) from exc


def _log_in(client: Any, endpoint: Endpoint, login: Login) -> None:
    try:
        login.log_in_imap(client)
    except (LoginError, IMAPClientAbortError) as exc:
        said = str(exc)
        if _IN_USE in said.upper():
            raise MailboxLocked(f"{endpoint.host} has the mailbox locked: {said}. The next pass tries again") from exc
        if is_temporary_refusal(said):
            raise MailboxUnreachable(f"{endpoint.host} cannot open the mailbox now: {said}") from exc
        if isinstance(exc, IMAPClientAbortError) and not _FOR_GOOD.search(said):
            raise ConnectionLost(f"the connection to {endpoint.host} broke at the login: {said}") from exc
        raise login.refusal(endpoint.host, said, _methods(client, endpoint)) from exc
    except (OSError, IMAPClientError, ValueError) as exc:
        raise ConnectionLost(f"the connection to {endpoint.host} broke at the login: {exc}") from exc


def _methods(client: Any, endpoint: Endpoint) -> frozenset[str]:
    """Its capabilities; empty where it hung up after the refusal, and without TLS, where servers offer less than they take."""
    if endpoint.tls == Tls.NONE:
        return frozenset()
    try:
        return frozenset(str(name, "ascii", "replace").upper() for name in client.capabilities())
    except (OSError, IMAPClientError):
        return frozenset()


def _select(client: Any, folder: str, *, to_clean: bool) -> dict[bytes, Any]:
    try:
        selected: dict[bytes, Any] = client.select_folder(folder, readonly=not to_clean)
    except IMAPClientReadOnlyError as exc:
        raise CannotClean(f"the folder {folder!r} may only be read: set empty = nothing") from exc
    except (IMAPClientAbortError, ProtocolError, OSError, ValueError) as exc:
        raise ConnectionLost(f"the connection to the mail server broke: {str(exc)[:200]}") from exc
    except IMAPClientError as exc:
        if "authenticated but not connected" in str(exc):
            raise LoginRefused(
                "Exchange Online took the login, and then did not open the mailbox: does the user name match the mailbox, and "
                "has the application's service principal permission on it (Add-MailboxPermission)?"
            ) from exc
        said = str(exc).rstrip(".")
        raise FolderMissing(
            f"the folder {folder!r} cannot be opened: {said}. Check its name; bounces come to INBOX unless a rule moves them"
        ) from exc
    return selected


class ImapMailbox:
    """One login with one folder open. A uid is the UID in decimal; without a UIDVALIDITY it is good for this login only."""

    reads_together = True

    def __init__(
        self, client: Any, folder: str, selected: dict[bytes, Any], *, is_writable: bool, step_s: float
    ) -> None:
        self.folder = folder
        self._is_writable = is_writable
        uidvalidity = int(selected.get(b"UIDVALIDITY", 0))
        self.uidvalidity = uidvalidity if 0 < uidvalidity <= _UIDVALIDITY_LIMIT else 0
        self.keeps_uids = self.uidvalidity != 0
        self._exists = int(selected.get(b"EXISTS", 0))
        self._client = client
        self._imap = client._imap  # IMAPClient's own connection, for the two questions whose answers are read here
        self._watchdog = Watchdog(client.socket(), step_s)

    def __enter__(self) -> "ImapMailbox":
        self._watchdog.__enter__()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._watchdog.__exit__()
        _shut(self._client)

    def count(self) -> int:
        """As EXAMINE or SELECT told it."""
        return self._exists

    def listing(self) -> list[Listed]:
        """By ranges of message numbers, which stand still while only FETCH is sent (RFC 3501 §7.4.1)."""
        mails = []
        for first in range(1, self._exists + 1, _LIST_CHUNK):
            with self._asking():
                numbers = f"{first}:{min(first + _LIST_CHUNK - 1, self._exists)}"
                listed = read_listing(_checked(self._imap.fetch(numbers, LISTED)))
            if not listed:
                raise ConnectionLost(
                    f"the server says that there are {self._exists:,} mails, and lists none of {numbers}"
                )
            mails += listed if self.keeps_uids else [replace(mail, is_lasting=False) for mail in listed]
        return mails

    def read(self, mails: Sequence[Listed]) -> dict[str, Fetched | MailUnreadable]:
        """BODY.PEEK leaves \\Seen alone (RFC 3501 §6.4.5)."""
        try:
            with self._step():
                readings = read_mails(_checked(self._imap.uid("FETCH", ",".join(mail.uid for mail in mails), READ)))
        except IMAPClientError as exc:
            if len(mails) > 1:  # one NO for all of them: which is meant is seen one by one
                return {uid: reading for mail in mails for uid, reading in self.read([mail]).items()}
            return {mail.uid: MailUnreadable(f"the server does not give it out: {str(exc)[:200]}") for mail in mails}
        return {mail.uid: readings[mail.uid] for mail in mails if mail.uid in readings}

    def delete(self, uids: Sequence[str]) -> list[str]:
        """By UID EXPUNGE alone: a plain EXPUNGE would remove what others have marked (RFC 4315 §2.1)."""
        self._require_writable()
        if not uids:
            return []
        if not self._has("UIDPLUS"):
            raise CannotClean(
                "the server has no UIDPLUS, so only everybody's deleted mails could be removed together. "
                "Set empty = nothing, or read this account by POP3"
            )
        gone = []
        for chunk in _chunks(uids):
            with self._change("delete"):
                self._client.add_flags(chunk, [DELETED], silent=True)
                self._client.uid_expunge(chunk)
            gone += self._missing(chunk)
        return gone

    def move(self, uids: Sequence[str], folder: str) -> list[str]:
        """UID MOVE, else COPY and then delete (RFC 6851 §1)."""
        self._require_writable()
        require_sendable(folder, "the folder to move to")
        gone = []
        is_atomic = self._has("MOVE")
        for chunk in _chunks(uids):
            with self._change(f"move to {folder!r}"):
                if is_atomic:
                    self._client.move(chunk, folder)
                else:
                    if not self._has("UIDPLUS"):
                        raise CannotClean("the server has neither MOVE nor UIDPLUS: set empty = nothing")
                    self._client.copy(chunk, folder)
            gone += self._missing(chunk) if is_atomic else self.delete([str(uid) for uid in chunk])
        return gone

    def logout(self) -> None:
        """What was deleted was so when `delete` returned; a server that hangs up rudely changes nothing."""
        with contextlib.suppress(IMAPClientError, OSError), self._watchdog.limit():
            self._client.logout()

    def _missing(self, chunk: list[int]) -> list[str]:
        """Those that are no longer there: an OK is not believed, Dovecot gives it for a STORE that it did not do."""
        with self._asking():
            left = self._client.fetch(chunk, ["UID"])
        return [str(uid) for uid in chunk if uid not in left]

    def _require_writable(self) -> None:
        if not self._is_writable:
            raise CannotClean("the folder was opened for reading only")

    def _has(self, capability: str) -> bool:
        with self._asking():
            return bool(self._client.has_capability(capability))

    @contextlib.contextmanager
    def _step(self) -> Iterator[None]:
        """After an answer that cannot be understood nobody knows what comes next: the connection is given up."""
        try:
            with self._watchdog.limit():
                yield
        except (IMAPClientAbortError, ProtocolError, OSError, ValueError, AssertionError) as exc:
            raise ConnectionLost(f"the connection to the mail server broke: {str(exc)[:200]}") from exc
        except IMAPClientError as exc:
            if _LINE_TOO_LONG in str(exc):  # nobody has said no: imaplib stopped in the middle of a line
                raise ConnectionLost(f"the connection to the mail server broke: {exc}") from exc
            raise

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """A NO to a question about the mailbox is no mail's fault: another login may be answered."""
        try:
            with self._step():
                yield
        except IMAPClientError as exc:
            raise LoginOver(f"the server does not answer: {str(exc)[:200]}") from exc

    @contextlib.contextmanager
    def _change(self, what: str) -> Iterator[None]:
        try:
            with self._step():
                yield
        except IMAPClientError as exc:
            raise CannotClean(f"the server does not {what}: {str(exc)[:200]}") from exc


def _checked(answer: tuple[str, Answers]) -> Answers:
    """imaplib raises for BAD alone."""
    word, answers = answer
    if word != "OK":
        raise IMAPClientError(f"the server said {word}: {answers[0]!r}")
    return answers if answers != [None] else []


def _chunks(uids: Sequence[str]) -> Iterator[list[int]]:
    for first in range(0, len(uids), _STORE_CHUNK):
        yield [int(uid) for uid in uids[first : first + _STORE_CHUNK]]


def _shut(client: Any) -> None:
    with contextlib.suppress(IMAPClientError, OSError):
        client.shutdown()
