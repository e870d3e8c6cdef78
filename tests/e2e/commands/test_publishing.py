"""`mailroom publish` behind a mail server's pipe, and on a Maildir."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pika
import pytest

from services.commands.bus import open_publisher
from shared.bus import BrokerUnreachable, Message
from shared.identity import READ_LIMIT_BYTES, raw_id
from shared.topology import CLASSIFIER_RAW
from tests.e2e.commands.conftest import MAILROOM
from tests.servers.waiting import eventually

MAIL = b"From: mailer-daemon@example.org\nSubject: failed\n\nFrom here on it is text.\n"
FROM_LINE = b"From MAILER-DAEMON  Sun Mar  1 12:00:00 2026\n"
NOBODY_LISTENS = "amqp://guest:guest@127.0.0.1:1/%2F"


@contextmanager
def channel_to(amqp_url: str) -> Iterator[Any]:
    with closing(pika.BlockingConnection(pika.URLParameters(amqp_url))) as connection:
        yield connection.channel()


def published(amqp_url: str) -> list[tuple[bytes, dict[str, Any]]]:
    """The bodies and headers on the classifier's queue, which is empty then."""
    with channel_to(amqp_url) as channel:
        waiting = channel.queue_declare(CLASSIFIER_RAW.name, passive=True).method.message_count
        got = [channel.basic_get(CLASSIFIER_RAW.name, auto_ack=True) for _ in range(waiting)]
    return [(body, properties.headers) for method, properties, body in got if method]


@pytest.fixture
def pipe(tmp_path: Path, environment: dict[str, str], amqp_url: str):  # type: ignore[no-untyped-def]
    """Runs `mailroom publish -` as a mail server does; the variables may be others."""

    def run(mail: bytes, *options: str, **more: str) -> subprocess.CompletedProcess[bytes]:
        variables = {**environment, "MAILROOM_AMQP_URL": amqp_url, **more}
        command = [MAILROOM, "publish", *options]
        return subprocess.run(command, cwd=tmp_path, env=variables, input=mail, capture_output=True, timeout=60)

    return run


def test_a_person_is_told_what_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    url = "amqp://guest:canary@127.0.0.1:1/%2F"
    with open_publisher(url, patience_s=3) as publisher, pytest.raises(BrokerUnreachable):
        publisher.publish([Message("", "nowhere", b"", "text/plain")])
    assert capsys.readouterr().err == "waiting for RabbitMQ at 127.0.0.1:1 …\n"


class TestPipe:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_one_that_is_stopped_has_the_mail_come_again(
        self, tmp_path: Path, environment: dict[str, str], number: signal.Signals
    ) -> None:
        variables = {**environment, "MAILROOM_AMQP_URL": NOBODY_LISTENS, "MAILROOM_LOG_LEVEL": "warning"}
        command = [MAILROOM, "publish", "-"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, cwd=tmp_path, env=variables, **pipes) as process:  # type: ignore[call-overload]
            process.stdin.write(MAIL)
            process.stdin.close()
            assert b"publish_retried" in process.stderr.readline()
            process.send_signal(number)
            assert process.wait(timeout=30) == 75
            assert b"try again later" in process.stderr.read()

    @pytest.mark.parametrize("top", [b"", FROM_LINE])
    def test_a_mail_is_published_as_it_was_sent(self, pipe: Any, amqp_url: str, top: bytes) -> None:
        ran = pipe(top + MAIL, "-", "--list-id", "weekly")
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")
        ((body, headers),) = published(amqp_url)
        assert body == MAIL
        assert (headers["list_id"], headers["source"], headers["truncated"]) == ("weekly", "publish", False)

    @pytest.mark.parametrize("top", [b"", FROM_LINE])
    def test_a_large_one_is_cut_where_every_way_in_cuts(self, pipe: Any, amqp_url: str, top: bytes) -> None:
        large = MAIL + b"x" * 5_000_000
        assert pipe(top + large, "-").returncode == 0
        ((body, headers),) = published(amqp_url)
        assert body == large[:READ_LIMIT_BYTES]
        assert headers["truncated"] is True

    @pytest.mark.parametrize(
        ("mail", "options", "variables", "status", "says"),
        [
            pytest.param(MAIL, ["-"], {"MAILROOM_AMQP_URL": NOBODY_LISTENS}, 75, b"try again later", id="no broker"),
            pytest.param(MAIL, ["-"], {"MAILROOM_AMQP_URL": ""}, 75, b"MAILROOM_AMQP_URL is not set", id="no setting"),
            pytest.param(MAIL, ["-"], {"MAILROOM_AMQP_URL": "nonsense"}, 75, b"try again later", id="a wrong setting"),
            pytest.param(MAIL, ["-"], {"MAILROOM_LOG_LEVEL_FILE": "/none"}, 75, b"MAILROOM_LOG_LEVEL", id="another"),
            pytest.param(MAIL, ["-", "--lisst", "weekly"], {}, 64, b"No such option", id="no such option"),
            pytest.param(MAIL, ["-", "file.eml"], {}, 64, b"stands alone", id="a file, too"),
            pytest.param(MAIL, ["-", "--consume"], {}, 64, b"stands alone", id="to be consumed"),
            pytest.param(MAIL, ["-", "--list-id", "week ly"], {}, 64, b"list_id", id="no list's name"),
            pytest.param(b"", ["-"], {}, 65, b"no message", id="nothing"),
            pytest.param(FROM_LINE + b"\n", ["-"], {}, 65, b"no message", id="a From_ line alone"),
        ],
    )
    def test_the_exit_status_is_for_the_mail_server(
        self,
        pipe: Any,
        mail: bytes,
        options: list[str],
        variables: dict[str, str],
        status: int,
        says: bytes,
    ) -> None:
        ran = pipe(mail, *options, **variables)
        assert ran.returncode == status, ran.stderr
        assert says in ran.stderr
        assert b"Traceback" not in ran.stderr


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    folder = tmp_path / "Maildir"
    for part in ("cur", "new", "tmp"):
        (folder / part).mkdir(parents=True)
    return folder


def names(folder: Path, part: str) -> list[str]:
    return sorted(path.name for path in (folder / part).iterdir())


class TestMaildir:
    def test_what_is_new_is_published_once_and_kept_as_seen(self, mailroom: Any, maildir: Path, amqp_url: str) -> None:
        for name in ("1.a", "2.b:2,", "3.c:2,F"):
            (maildir / "new" / name).write_bytes(FROM_LINE + MAIL + name.encode())
        (maildir / "cur" / "0.old:2,S").write_bytes(MAIL)
        (maildir / "tmp" / "4.incomplete").write_bytes(MAIL)
        ran = mailroom("publish", "--consume", maildir, MAILROOM_AMQP_URL=amqp_url)
        assert (ran.returncode, ran.stderr) == (0, "3 published and confirmed\n")
        assert [raw_id(body) for body, _ in published(amqp_url)] == [
            raw_id(MAIL + name) for name in (b"1.a", b"2.b:2,", b"3.c:2,F")
        ]
        assert names(maildir, "cur") == ["0.old:2,S", "1.a:2,S", "2.b:2,S", "3.c:2,FS"]
        assert (names(maildir, "new"), names(maildir, "tmp")) == ([], ["4.incomplete"])
        again = mailroom("publish", "--consume", maildir, MAILROOM_AMQP_URL=amqp_url)
        assert (again.returncode, again.stderr) == (0, "0 published and confirmed\n")
        assert published(amqp_url) == []

    def test_without_being_told_nothing_is_moved(self, mailroom: Any, maildir: Path, amqp_url: str) -> None:
        (maildir / "new" / "1.a").write_bytes(MAIL)
        assert mailroom("publish", maildir, MAILROOM_AMQP_URL=amqp_url).returncode == 0
        assert names(maildir, "new") == ["1.a"]

    def test_an_empty_file_is_no_mail_and_is_told(self, mailroom: Any, maildir: Path, amqp_url: str) -> None:
        (maildir / "new" / "1.a").write_bytes(b"\n")
        (maildir / "new" / "2.b").write_bytes(MAIL)
        ran = mailroom("publish", "--consume", maildir, MAILROOM_AMQP_URL=amqp_url)
        assert ran.returncode == 2
        assert "1.a is empty, and no mail; it stays where it is" in ran.stderr
        assert (names(maildir, "new"), len(published(amqp_url))) == (["1.a"], 1)

    def test_what_cannot_be_put_aside_is_told_and_the_rest_is_done(
        self, mailroom: Any, maildir: Path, amqp_url: str
    ) -> None:
        for name in ("1.a", "3.c"):
            (maildir / "new" / name).write_bytes(MAIL + name.encode())
        (maildir / "new" / "2.folder").mkdir()
        (maildir / "cur" / "1.a:2,S").write_bytes(b"another mail")
        ran = mailroom("publish", "--consume", maildir, MAILROOM_AMQP_URL=amqp_url)
        assert ran.returncode == 2
        assert "2.folder cannot be read" in ran.stderr
        assert "1.a was published, and cannot be moved to cur" in ran.stderr
        assert len(published(amqp_url)) == 2
        assert names(maildir, "new") == ["1.a", "2.folder"]
        assert (maildir / "cur" / "1.a:2,S").read_bytes() == b"another mail"

    def test_only_a_maildir_is_consumed(self, mailroom: Any, tmp_path: Path, amqp_url: str) -> None:
        ran = mailroom("publish", "--consume", tmp_path, MAILROOM_AMQP_URL=amqp_url)
        assert ran.returncode == 2
        assert "is no Maildir" in ran.stderr

    def test_killed_in_the_middle_it_loses_nothing(
        self, maildir: Path, environment: dict[str, str], mailroom: Any, amqp_url: str
    ) -> None:
        mails = [MAIL + f"{number:05d}".encode() for number in range(1_600)]
        for number, mail in enumerate(mails):
            (maildir / "new" / f"{number:05d}").write_bytes(mail)
        command = [MAILROOM, "publish", "--consume", str(maildir)]
        variables = {**environment, "MAILROOM_AMQP_URL": amqp_url}
        process = subprocess.Popen(command, env=variables, stderr=subprocess.DEVNULL)
        eventually(lambda: names(maildir, "cur"), "the first mail to be put aside", poll_s=0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        aside = {raw_id((maildir / "cur" / name).read_bytes()) for name in names(maildir, "cur")}
        assert 0 < len(aside) < len(mails), "it was killed in the middle"
        first = [raw_id(body) for body, _ in published(amqp_url)]
        assert aside <= set(first), "nothing is put aside before it is on the queue"
        assert mailroom("publish", "--consume", maildir, MAILROOM_AMQP_URL=amqp_url).returncode == 0
        second = [raw_id(body) for body, _ in published(amqp_url)]
        assert {*first, *second} == {raw_id(mail) for mail in mails}
        assert len(first) + len(second) <= len(mails) + 500, "at most one window twice"
        assert (names(maildir, "new"), len(names(maildir, "cur"))) == ([], len(mails))
