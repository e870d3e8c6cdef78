"""A password is nowhere but in its mailbox: not in the database, Redis, a queue, a log, or what a command says."""

import base64
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import kombu
import pytest
import redis
from click.testing import CliRunner
from sqlalchemy import Engine, create_engine, inspect, text

from services.cli import main
from shared.secrets import new_key
from shared.tables import connect, upgrade
from shared.tables.fetcher import run
from tests.e2e.commands.conftest import ROOT
from tests.e2e.mails import FULL, HUMAN_MAIL, UNKNOWN, Send, bounce_of
from tests.e2e.processes import services
from tests.servers.dovecot import DovecotServer, Mailbox
from tests.servers.waiting import eventually

GOOD = "canary-G7dk2-Xq9"
WRONG = "canary-W4mz8-Pv3"
CONTROL = "control-9c41"
"""Not secret: the title of the list, which has to be found where it is kept."""


def spellings(secret: str) -> set[bytes]:
    """As it is, in hexadecimal, and as base64 has it at each of three places."""
    plain = secret.encode()
    shifted = {base64.b64encode(b"x" * shift + plain)[4 if shift else 0 : -4] for shift in range(3)}
    return {plain, plain.hex().encode(), plain[::-1], secret.encode("utf-16-le"), *shifted}


def hits(where: bytes, *secrets: str) -> list[str]:
    return [secret for secret in secrets if any(one in where for one in spellings(secret))]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with the tables."""
    is_postgresql = request.param == "postgresql"
    url: str = request.getfixturevalue("database_url") if is_postgresql else f"sqlite:///{tmp_path}/mailroom.db"
    engine = connect(url)
    upgrade(engine)
    engine.dispose()
    return url


def dump_of_database(engine: Engine) -> bytes:
    """Every cell of every table, and of SQLite the files as they are."""
    parts = []
    with engine.connect() as connection:
        for table in inspect(engine).get_table_names():
            rows = connection.execute(text(f'SELECT * FROM "{table}"'))
            parts += [str(cell).encode() if not isinstance(cell, bytes) else cell for row in rows for cell in row]
    if engine.url.get_backend_name() == "sqlite":
        file = Path(str(engine.url.database))
        parts += [path.read_bytes() for path in file.parent.glob(f"{file.name}*")]
    return b"\n".join(parts)


def dump_of_redis(url: str) -> bytes:
    with redis.Redis.from_url(url) as client:
        return b"\n".join(part for key in client.scan_iter() for part in (key, client.dump(key) or b""))


@contextmanager
def overhearing(amqp_url: str) -> Iterator[Callable[[], bytes]]:
    """A queue of the test's own that gets a copy of all that is published; call it for what came by now."""
    heard: list[bytes] = []
    with kombu.Connection(amqp_url) as connection:
        channel = connection.channel()
        queue = kombu.Queue("overheard", durable=False, auto_delete=False, channel=channel)
        queue.queue_declare()
        channel.exchange_declare("mailroom", "topic", durable=True, auto_delete=False)
        channel.exchange_declare("mailroom.dead", "fanout", durable=True, auto_delete=False)
        channel.queue_bind("overheard", "mailroom", "#")
        channel.queue_bind("overheard", "mailroom.dead", "")

        def all_of_it() -> bytes:
            while (message := channel.basic_get("overheard", no_ack=True)) is not None:
                heard.append(repr((message.body, message.properties, message.delivery_info)).encode())
            return b"\n".join(heard)

        yield all_of_it


@pytest.mark.timeout(240)
def test_a_password_is_nowhere(
    url: str, tmp_path: Path, amqp_url: str, redis_url: str, dovecot: DovecotServer, mailbox: Mailbox
) -> None:
    dovecot.change_password(mailbox.user, GOOD)
    for mail in (
        bounce_of(Send("gone@example.net", 1, *UNKNOWN)),
        bounce_of(Send("x@example.net", 2, *FULL)),
        HUMAN_MAIL,
    ):
        mailbox.deliver(mail)
    key = new_key()
    environment = {
        "MAILROOM_AMQP_URL": amqp_url,
        "MAILROOM_DATABASE_URL": url,
        "MAILROOM_REDIS_URL": redis_url,
        "MAILROOM_SECRET_KEY": key,
        "MAILROOM_LOG_LEVEL": "debug",
        "PYTHONPATH": str(ROOT),
    }
    unset = {name: None for name in os.environ if name.startswith("MAILROOM_")}
    said: list[bytes] = []

    def mailroom(*arguments: str, status: int = 0, **more: str) -> None:
        ran = CliRunner().invoke(main, arguments, prog_name="mailroom", env={**unset, **environment, **more})
        said.extend((ran.stdout_bytes, ran.stderr_bytes))
        assert ran.exit_code == status, ran.stderr

    engine = create_engine(url)

    def runs() -> list[str | None]:
        """The errors of those that have ended."""
        with engine.connect() as connection:
            rows = connection.execute(run.select().order_by(run.c.started_at)).all()
        return [row.last_error for row in rows if row.finished_at is not None or row.last_error is not None]

    server = ["--server", f"localhost:{dovecot.pop3s_port}", "--user", mailbox.user, "--ca", str(dovecot.ca_file)]
    with overhearing(amqp_url) as overheard, services(environment, tmp_path) as running:
        mailroom("lists", "add", "bad", "--bounce-email", "b@example.org", *server, status=2, MAILROOM_PASSWORD=WRONG)
        mailroom(
            "lists",
            "add",
            "weekly",
            "--bounce-email",
            "b@example.org",
            "--title",
            CONTROL,
            *server,
            MAILROOM_PASSWORD=GOOD,
        )
        mailroom("lists", "add", "shop", "--bounce-email", "b@example.org", *server, MAILROOM_PASSWORD=GOOD)
        for service in ("fetcher", "classifier", "ledger"):
            running.start(service)
        mailroom("fetch", "shop")
        eventually(lambda: runs() == [None], "the fetch with the right password", timeout_s=90)
        assert len(mailbox.mails()) == 1
        dovecot.change_password(mailbox.user, "what it is now")
        mailroom("fetch", "weekly")
        eventually(lambda: len(runs()) == 2, "the fetch with a wrong password", timeout_s=60)
        assert "refused the login" in str(runs()[1])
        mailroom("lists", "edit", "weekly", "--password", "--untested", MAILROOM_PASSWORD=WRONG)
        mailroom("fetch", "weekly", "nosuch")
        eventually(lambda: len(runs()) == 3, "the fetch with another wrong password", timeout_s=60)
        eventually(lambda: b"nosuch" in dump_of_database(engine), "the dead letter", timeout_s=60)
        for command in (
            ["lists"],
            ["lists", "--json"],
            ["lists", "show", "weekly"],
            ["lists", "show", "shop", "--json"],
        ):
            mailroom(*command)
        mailroom("lists", "test", "weekly", status=1)
        mailroom("lists", "test", "weekly", "--json", status=1)
        mailroom("dead", "list", status=1)
        new = new_key()
        mailroom("secrets", "rotate", MAILROOM_SECRET_KEY=f"{new},{key}")
        mailroom("secrets", "rotate", status=1)  # with the old key only
        mailroom("history", "gone@example.net")
        assert running.stop_all() == [0, 0, 0]
        dumps = {
            "database": dump_of_database(engine),
            "Redis": dump_of_redis(redis_url),
            "queues": overheard(),
            "logs": b"".join((tmp_path / f"{name}.log").read_bytes() for name in ("fetcher", "classifier", "ledger")),
            "commands": b"".join(said),
        }
        mailroom("lists", "remove", "weekly", "--yes")
        mailroom("lists", "remove", "shop", "--yes")
    dumps["files"] = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    engine.dispose()
    for name, control in (
        ("database", CONTROL), ("Redis", "gone@example.net"), ("queues", "gone@example.net"), ("logs", "slice_fetched"),
        ("commands", CONTROL),
    ):  # fmt: skip
        assert control.encode() in dumps[name], f"the {name} were not looked at"
    found = {name: hits(dump, GOOD, WRONG, key, new) for name, dump in dumps.items()}
    assert {name: secrets for name, secrets in found.items() if secrets} == {}


@pytest.mark.parametrize("secret", [GOOD, WRONG])
def test_a_canary_is_found_in_whatever_spelling(secret: str) -> None:
    for leak in (secret, secret.encode().hex(), base64.b64encode(f"\0joe\0{secret}".encode()).decode(), secret[::-1]):
        for shift in range(3):
            assert hits(b"x" * shift + leak.encode() + b"y", secret) == [secret]
    assert hits(b"nothing of it", secret) == []
