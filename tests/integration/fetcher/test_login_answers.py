"""What a server says to a login, and which class that is: wrong credentials are never repeated, trouble is."""

import base64
import random
from collections.abc import Callable

import pytest

from services.fetcher.endpoint import Deadlines, Endpoint, Protocol, Tls
from services.fetcher.errors import (
    ConnectionLost,
    GrantOver,
    LoginRefused,
    MailboxError,
    MailboxLocked,
    MailboxUnreachable,
)
from services.fetcher.login import PasswordLogin, TokenLogin
from services.fetcher.opening import open_mailbox
from tests.integration.fetcher.scripted import Script, Session, serving
from tests.servers import finding

SOON = Deadlines(connect_s=2, idle_s=0.5, step_s=1.5)
PASSWORD = 'canary "5\\b1e'


def open_at(port: int, protocol: Protocol, user: str = "joe", password: str = PASSWORD) -> None:
    endpoint = Endpoint(protocol, "127.0.0.1", port, Tls.NONE, deadlines=SOON)
    with open_mailbox(endpoint, PasswordLogin(user, password), "INBOX" if protocol == Protocol.IMAP else "", False):
        pass


def imap(*answers: bytes, greeting: bytes = b"* OK ready", capability: bytes = b"* CAPABILITY IMAP4rev1") -> Script:
    """Says the answers to LOGIN, `TAG` replaced; then, after the last, hangs up."""

    def script(session: Session) -> None:
        session.say(greeting)
        while line := session.hear():
            tag, word = line.split()[:2]
            if word.upper() == b"CAPABILITY":
                session.say(capability, tag + b" OK done")
            else:
                session.say(*(answer.replace(b"TAG", tag) for answer in answers))
                return

    return script


def pop3(*answers: bytes, greeting: bytes = b"+OK ready") -> Script:
    def script(session: Session) -> None:
        session.say(greeting)
        while line := session.hear():
            if line.startswith(b"USER"):
                session.say(b"+OK")
            else:
                session.say(*answers)
                return

    return script


ANSWERS = [
    (Protocol.IMAP, imap(), ConnectionLost),
    (Protocol.IMAP, imap(b"* BYE going down"), ConnectionLost),
    (Protocol.IMAP, imap(b"* BYE [UNAVAILABLE] going down"), MailboxUnreachable),
    (Protocol.IMAP, imap(b"* BYE [AUTHENTICATIONFAILED] no"), LoginRefused),
    (Protocol.IMAP, imap(b"nonsense"), ConnectionLost),
    (Protocol.IMAP, imap(b"TAG NO [UNAVAILABLE] the directory is away"), MailboxUnreachable),
    (Protocol.IMAP, imap(b"TAG NO [SERVERBUG] oops"), MailboxUnreachable),
    (Protocol.IMAP, imap(b"TAG NO [LIMIT] too many connections"), MailboxUnreachable),
    (Protocol.IMAP, imap(b"TAG NO [INUSE] by another"), MailboxLocked),
    (Protocol.IMAP, imap(b"TAG NO [AUTHENTICATIONFAILED] no"), LoginRefused),
    (Protocol.IMAP, imap(b"TAG NO [AUTHORIZATIONFAILED] no"), LoginRefused),
    (Protocol.IMAP, imap(b"TAG NO [EXPIRED] no"), LoginRefused),
    (Protocol.IMAP, imap(b"TAG NO no"), LoginRefused),
    (Protocol.IMAP, imap(b"TAG BAD what?"), LoginRefused),
    (Protocol.POP3, pop3(), ConnectionLost),
    (Protocol.POP3, pop3(b"nonsense"), ConnectionLost),
    (Protocol.POP3, pop3(b"-ERR [SYS/TEMP] the directory is away"), MailboxUnreachable),
    (Protocol.POP3, pop3(b"-ERR [IN-USE] by another"), MailboxLocked),
    (Protocol.POP3, pop3(b"-ERR [LOGIN-DELAY] wait"), MailboxLocked),
    (Protocol.POP3, pop3(b"-ERR [SYS/PERM] no such mailbox"), LoginRefused),
    (Protocol.POP3, pop3(b"-ERR [AUTH] no"), LoginRefused),
    (Protocol.POP3, pop3(b"-ERR"), LoginRefused),
]


@pytest.mark.parametrize(("protocol", "script", "error"), ANSWERS)
def test_an_answer_has_its_class(protocol: Protocol, script: Script, error: type[MailboxError]) -> None:
    with serving(script) as server, pytest.raises(MailboxError) as caught:
        open_at(server.port, protocol)
    assert type(caught.value) is error or (error is ConnectionLost and isinstance(caught.value, ConnectionLost))


def test_what_a_server_says_is_told_in_its_words() -> None:
    with serving(imap(b"TAG NO [AUTHENTICATIONFAILED] It's wrong.")) as server, pytest.raises(LoginRefused) as caught:
        open_at(server.port, Protocol.IMAP)
    assert "joe: [AUTHENTICATIONFAILED] It's wrong. Check user name and password" in str(caught.value)


FORMS: dict[str, Callable[[str], bytes]] = {
    "quoted": lambda secret: secret.replace("\\", "\\\\").replace('"', '\\"').encode(),
    "repr": lambda secret: repr(secret.encode()).encode(),
    "base64": lambda secret: base64.b64encode(secret.encode()),
    "plain": lambda secret: base64.b64encode(f"\0joe\0{secret}".encode()),
    "percent": lambda secret: "".join(f"%{byte:02x}" for byte in secret.encode()).encode(),
    "cut off": lambda secret: secret[:-3].encode(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("protocol", list(Protocol))
@pytest.mark.parametrize("is_bye", [False, True])
def test_a_password_is_not_repeated(protocol: Protocol, form: str, is_bye: bool) -> None:
    repeated = FORMS[form](PASSWORD)
    if protocol == Protocol.IMAP:
        script = imap((b"* BYE " if is_bye else b"TAG NO ") + b"what is " + repeated)
    else:
        script = pop3(b"-ERR what is " + repeated)
    with serving(script) as server, pytest.raises(MailboxError) as caught:
        open_at(server.port, protocol)
    seen = f"{caught.value} {caught.value.__cause__}"
    assert repeated.decode() not in seen
    assert "canary" not in seen


class NoMore:
    """Tokens of a grant that is over."""

    def token(self, account: str) -> str:
        raise GrantOver("over")

    def renew(self, account: str, refused: str) -> bool:
        raise GrantOver("over")


@pytest.mark.parametrize("protocol", list(Protocol))
def test_a_token_is_asked_for_before_a_server_waits(protocol: Protocol) -> None:
    endpoint = Endpoint(protocol, "127.0.0.1", finding.free_port(), Tls.IMPLICIT, deadlines=SOON)
    with pytest.raises(GrantOver):
        open_mailbox(endpoint, TokenLogin("joe", "news", NoMore()), "INBOX", False)


PIECES = [
    b"* OK", b"* PREAUTH", b"* BYE", b"+OK", b"-ERR", b"+ ", b"+", b"*", b"a", b"TAG", b" NO ", b" OK ", b" BAD ",
    b"[CAPABILITY IMAP4rev1", b"]", b"[", b"[ALERT]", b"(", b")", b'"', b"{5}", b"{99999999999}", b"{-1}", b"{}",
    b"\x00", b"\xff\xfe", b"\xc3", b"\r", b" ", b"CAPABILITY", b"IMAP4", b"LOGIN", b"1", b"-1", b"EXISTS", b"FLAGS",
    b"UIDVALIDITY", b"x" * 3000, b"AUTH=PLAIN", b"LOGINDISABLED", b"=", b"====", b"bm8=", b"\\",
]  # fmt: skip


def noise(chance: random.Random) -> bytes:
    return b"".join(chance.choice(PIECES) + chance.choice([b"", b" "]) for _ in range(chance.randrange(6)))


@pytest.mark.parametrize("user", ["joe", "jöe"], ids=["login", "plain"])
@pytest.mark.parametrize("protocol", list(Protocol))
@pytest.mark.parametrize("seed", range(40))
def test_no_answer_at_all_breaks_or_holds_it(protocol: Protocol, seed: int, user: str) -> None:
    """Whatever stands where an answer should, at whichever step: a class of ours, or a mailbox that is open."""
    chance = random.Random(seed)
    garbled = chance.randrange(4)

    def script(session: Session) -> None:
        greeting = b"* OK ready" if protocol == Protocol.IMAP else b"+OK ready"
        session.say(noise(chance) if garbled == 0 else greeting)
        for step in range(1, 9):
            line = session.hear()
            if not line:
                return
            tag, _, rest = line.partition(b" ")
            if step >= garbled and chance.random() < 0.7:
                session.say(noise(chance).replace(b"TAG", tag))
            if protocol == Protocol.POP3:
                session.say(chance.choice([b"+OK", b"-ERR no", noise(chance)]) if step >= garbled else b"+OK")
            elif rest.startswith(b"CAPABILITY"):
                session.say(b"* CAPABILITY IMAP4rev1 AUTH=PLAIN", tag + b" OK done")
            else:
                session.say(
                    tag + chance.choice([b" OK ", b" NO "]) + noise(chance) if step >= garbled else tag + b" OK"
                )

    told = "opened"
    with serving(script) as server:
        try:
            open_at(server.port, protocol, user)
        except MailboxError as exc:
            told = str(exc)
    assert told
    assert "canary" not in told
