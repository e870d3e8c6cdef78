"""An IMAP folder: known by UIDVALIDITY and UID, examined while it is read, selected only to clean (RFC 3501, 4315, 6851)."""

import contextlib
import imaplib
import re
import socket
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from imapclient import DELETED, IMAPClient, SocketTimeout
from imapclient.exceptions import (
    IMAPClientAbortError,
    IMAPClientError,
    IMAPClientReadOnlyError,
    LoginError,
    ProtocolError,
)

from services.fetcher.emptying import require_sendable
from services.fetcher.endpoint import CONNECT_TIMEOUT_S, IDLE_TIMEOUT_S, STEP_TIMEOUT_S, Endpoint, Tls, wrong_mode
from services.fetcher.errors import (
    CannotClean,
    ConnectionLost,
    FolderMissing,
    LoginOver,
    LoginRefused,
    MailboxLocked,
    MailboxUnreachable,
    MailGone,
    MailUnreadable,
    StartTlsMissing,
    WrongPort,
    WrongProtocol,
    connection_error,
)
from services.fetcher.login import Login
from services.fetcher.ports import Fetched, Listed
from services.fetcher.watchdog import Watchdog
from shared.identity import READ_LIMIT_BYTES, cut

_LIST_CHUNK: Final = 500
_STORE_CHUNK: Final = 200
_BODY: Final = f"BODY.PEEK[]<0.{READ_LIMIT_BYTES + 1}>"
"""One byte more than is kept tells whether there is more, whatever RFC822.SIZE says."""
_BODY_ANSWER: Final = b"BODY[]<0>"
_RESPONSE_CODE: Final = re.compile(r"\[(INUSE|UNAVAILABLE|LIMIT)\]", re.IGNORECASE)


def open_imap(endpoint: Endpoint, login: Login, folder: str, *, to_clean: bool) -> "ImapMailbox":
    """Connect, encrypt, log in, open the folder; read-only unless it is to be cleaned. Raises MailboxError."""
    require_sendable(folder, "the folder")
    client = _connect(endpoint)
    try:
        with Watchdog(client.socket, STEP_TIMEOUT_S) as watchdog, watchdog.limit():
            if endpoint.tls == Tls.STARTTLS:
                _start_tls(client, endpoint)
            _log_in(client, endpoint, login)
            selected = _select(client, folder, to_clean=to_clean)
        return ImapMailbox(client, folder, selected, is_writable=to_clean)
    except BaseException:
        _shut(client)
        raise


class _Wire(imaplib.IMAP4):
    """Connects as the endpoint says, which also says to which addresses that may be."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        super().__init__(endpoint.host, endpoint.port)

    def _create_socket(self, timeout: float | None = None) -> socket.socket:
        return self._endpoint.connect()


class _Client(IMAPClient):  # type: ignore[misc]
    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        timeout = SocketTimeout(CONNECT_TIMEOUT_S, IDLE_TIMEOUT_S)
        super().__init__(endpoint.host, endpoint.port, ssl=endpoint.tls == Tls.IMPLICIT, timeout=timeout)

    def _create_IMAP4(self) -> imaplib.IMAP4:  # noqa: N802
        return _Wire(self._endpoint)


def _connect(endpoint: Endpoint) -> Any:
    advice = wrong_mode(endpoint.tls)
    try:
        return _Client(endpoint)
    except TimeoutError as exc:
        raise WrongPort(f"{endpoint.where} does not greet: {advice}") from exc
    except OSError as exc:
        raise connection_error(exc, endpoint.host, endpoint.port) from exc
    except IMAPClientError as exc:
        said = str(exc)
        if "BYE" in said.upper():
            raise MailboxUnreachable(f"{endpoint.where} does not serve now: {said[:200]}") from exc
        if isinstance(exc, IMAPClientAbortError) and "unexpected response" not in said:
            raise WrongPort(f"{endpoint.where} does not greet ({said[:200]}): {advice}") from exc
        raise WrongProtocol(f"{endpoint.where} does not greet as IMAP does: {advice}") from exc


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
    except LoginError as exc:
        code = _RESPONSE_CODE.search(str(exc))
        if code:
            raise MailboxLocked(f"{endpoint.host} cannot open the mailbox now: {exc}") from exc
        raise login.refusal(endpoint.host, str(exc), _methods(client, endpoint)) from exc
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
    except (IMAPClientAbortError, OSError) as exc:
        raise ConnectionLost(f"the connection to the mail server broke: {exc}") from exc
    except IMAPClientError as exc:
        if "authenticated but not connected" in str(exc):
            raise LoginRefused(
                "Exchange Online took the login, and then did not open the mailbox: does the user name match the mailbox, and "
                "has the application's service principal permission on it (Add-MailboxPermission)?"
            ) from exc
        raise FolderMissing(f"the folder {folder!r} cannot be opened: {exc}") from exc
    return selected


class ImapMailbox:
    """One login with one folder open. A uid is the UID in decimal."""

    keeps_uids = True

    def __init__(self, client: Any, folder: str, selected: dict[bytes, Any], *, is_writable: bool) -> None:
        self.folder = folder
        self._is_writable = is_writable
        self.uidvalidity = int(selected.get(b"UIDVALIDITY", 0))
        self._exists = int(selected.get(b"EXISTS", 0))
        self._client = client
        self._client.normalise_times = False
        self._watchdog = Watchdog(client.socket, STEP_TIMEOUT_S)

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
            numbers = range(first, min(first + _LIST_CHUNK, self._exists + 1))
            with self._asking():
                self._client.use_uid = False
                answers = self._client.fetch(list(numbers), ["UID", "RFC822.SIZE"])
                self._client.use_uid = True
            mails += [
                Listed(str(int(answer[b"UID"])), int(answer.get(b"RFC822.SIZE") or 0))
                for answer in answers.values()
                if b"UID" in answer
            ]
        return mails

    def fetch(self, uid: str) -> Fetched:
        """BODY.PEEK leaves \\Seen alone (RFC 3501 §6.4.5)."""
        number = int(uid)
        try:
            with self._step():
                answer = self._client.fetch([number], ["INTERNALDATE", _BODY]).get(number)
        except IMAPClientError as exc:
            raise MailUnreadable(f"the server does not give it out: {str(exc)[:200]}") from exc
        if answer is None:
            raise MailGone(uid)
        body = answer.get(_BODY_ANSWER)
        if not isinstance(body, bytes):
            raise MailUnreadable("the server answered without the mail")
        if not body.strip():
            raise MailUnreadable("the mail is empty")
        raw, truncated = cut(body)
        received_at = answer.get(b"INTERNALDATE")
        is_instant = isinstance(received_at, datetime) and received_at.tzinfo is not None
        return Fetched(raw, received_at if is_instant else None, truncated)

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


def _chunks(uids: Sequence[str]) -> Iterator[list[int]]:
    for first in range(0, len(uids), _STORE_CHUNK):
        yield [int(uid) for uid in uids[first : first + _STORE_CHUNK]]


def _shut(client: Any) -> None:
    with contextlib.suppress(IMAPClientError, OSError):
        client.shutdown()
