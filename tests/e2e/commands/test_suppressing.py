"""`mailroom suppress`, `release`, `history`, `export` and `import` as a person meets them."""

import csv
import json
import subprocess
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pika
import pytest
from sqlalchemy import select, update

from shared.tables import connect, upgrade
from shared.tables.ledger import address, outbox
from tests.e2e.commands.conftest import MAILROOM, ROOT, Ran

Run = Callable[..., Ran]

GONE = "anna.berg@example.org"
MAIL = ROOT / "samples/mails/postfix_user_unknown.eml"
WHY = ("--reason", "on the phone", "--who", "eva")


@pytest.fixture
def ledger(quick: Run, mailroom: Run) -> None:
    """One address bounced."""
    assert json.loads(mailroom("process", MAIL, "--json").stdout)["newly_suppressed"] == [GONE]


@pytest.fixture
def empty(quick: Run) -> None:
    assert quick("migrate", "--database", "sqlite:///mailroom.db").returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["suppress", "a@x.org", "--reason", "x"],
        ["release", "a@x.org", "--why", "x"],
        ["history", "a@x.org"],
        ["export"],
        ["import", "absent.csv", "--reason", "x"],
        ["import", "wrong.csv", "--reason", "x"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_no_database_is_made_by_the_way(quick: Run, tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "wrong.csv").write_text("name\tphone\n")
    ran = quick(*arguments)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.splitlines()[-1].startswith("mailroom: ")
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.csv"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["suppress", "a@x.org"], "Missing option '--reason'"),
        (["release", "a@x.org"], "Missing option '--why'"),
        (["suppress", "--reason", "x"], "Missing argument"),
        (["suppress", "a@x.org", "--reason", " "], "say why"),
        (["import", "a.csv", "--reason", ""], "say why"),
        (["export", "--state", "bad"], "Invalid value for '--state'"),
        (["history", "nobody"], "is no e-mail address"),
    ],
)
@pytest.mark.usefixtures("empty")
def test_usage(quick: Run, arguments: list[str], said: str) -> None:
    ran = quick(*arguments)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert said in ran.stderr.splitlines()[-1]


@pytest.mark.usefixtures("ledger")
def test_release_a_bounced_address_and_the_same_bounce_again(quick: Run, mailroom: Run) -> None:
    released = quick("release", GONE.upper(), "--why", "she is back", "--who", "eva")
    assert released.returncode == 0
    assert f"{GONE}  was bounced, user-unknown since " in released.stdout
    assert "; it may be mailed now" in released.stdout
    assert quick("check", GONE).returncode == 0
    assert json.loads(mailroom("process", MAIL, "--json").stdout)["duplicate"] == 1
    assert quick("check", GONE).returncode == 0


@pytest.mark.usefixtures("empty")
def test_suppress_what_never_bounced_and_an_invalid_one(quick: Run) -> None:
    ran = quick("suppress", "Bob@Example.com", "no\x1bbody", *WHY)
    assert ran.returncode == 2
    assert "bob@example.com  was ok; it is suppressed by hand since 20" in ran.stdout
    assert ran.stderr.splitlines()[-1].startswith("mailroom: 'no\\x1bbody' is no e-mail address")
    asked = quick("check", "bob@example.com")
    assert (asked.returncode, "suppressed, suppressed-by-hand" in asked.stdout) == (1, True)
    assert "was suppressed by hand since 20" in (again := quick("suppress", "bob@example.com", *WHY)).stdout
    assert again.returncode == 0
    assert "and still is" in again.stdout
    nobody = quick("release", "new@example.com", "--why", "x")
    assert "was not suppressed; it may be mailed now" in nobody.stdout


@pytest.mark.usefixtures("empty")
def test_who_is_the_login_name_by_default(quick: Run) -> None:
    quick("suppress", "a@x.org", "--reason", "x", LOGNAME="tim")
    (entry, _) = json.loads(quick("history", "a@x.org", "--json").stdout)["entries"]
    assert (entry["who"], entry["why"], entry["type"]) == ("tim", "x", "mark")


@pytest.mark.usefixtures("ledger")
def test_history_for_people(quick: Run) -> None:
    shown = quick("history", GONE)
    assert shown.returncode == 0
    assert shown.stdout.startswith(f"{GONE}: do not mail: bounced, user-unknown since ")
    for words in ("yes, it decided", "550 5.1.1", "User unknown", "rule ", "reported by ", "mail ", "run "):
        assert words in shown.stdout
    quick("release", GONE, "--why", "red\x1b[31m\nalert", "--who", "eva")
    shown = quick("history", GONE)
    assert shown.stdout.startswith(f"{GONE}: may be mailed\n")
    assert "no: released before" in shown.stdout
    assert shown.stdout.count("released by hand") == 1
    assert "eva: red\\x1b[31m alert" in shown.stdout
    assert "nothing is known of it" in quick("history", "new@example.com").stdout


@pytest.mark.usefixtures("ledger")
def test_history_for_programs(quick: Run) -> None:
    found = json.loads(quick("history", GONE, "--json").stdout)
    assert (found["address"], found["state"], found["reason"], found["hard"]) == (GONE, "bounced", "user-unknown", True)
    (entry,) = found["entries"]
    assert (entry["type"], entry["severity"], entry["counts"], entry["decided"]) == ("event", "hard", True, True)
    assert "User unknown" in entry["reports"][0]["diagnostic_code"]
    assert len(entry["reports"][0]["raw_id"]) == 64


@pytest.mark.usefixtures("empty")
def test_a_long_history_says_what_it_leaves_out(quick: Run) -> None:
    for _ in range(101):
        quick("suppress", "a@x.org", *WHY)
    shown = quick("history", "a@x.org")
    assert shown.stdout.count("suppressed by hand\n") + shown.stdout.count("suppressed by hand  ") == 100
    assert "the newest 100 of 101 marks; --all shows every one" in shown.stderr
    assert "newest" not in quick("history", "a@x.org", "--all").stderr


@pytest.mark.usefixtures("empty")
def test_import_a_list_and_run_it_twice(quick: Run, tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_bytes(
        b'name;Email\n"M\xfcller";=m@x.org\nx;nobody\ny;\xff@x.org\nz;Z@x.org\nz;z@x.org\n'
    )
    first = quick("import", "old.csv", *WHY)
    assert first.returncode == 2
    assert first.stdout == "2 suppressed, 1 already, 0 that may be mailed left as they are, 2 rows invalid\n"
    assert [line.split(":")[1] for line in first.stderr.splitlines()[1:]] == [" line 3", " line 4"]
    second = quick("import", "old.csv", *WHY)
    assert second.stdout.startswith("0 suppressed, 3 already")
    assert quick("check", "z@x.org").returncode == 1
    (tmp_path / "good.csv").write_text("email\nb@x.org\n")
    assert quick("import", "good.csv", *WHY).returncode == 0


def test_import_can_be_the_first_thing_of_all(quick: Run, tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text("email\nb@x.org\n")
    assert quick("import", "good.csv", *WHY).returncode == 0
    assert quick("check", "b@x.org").returncode == 1


@pytest.mark.parametrize("locale", ["C.UTF-8", "C", "POSIX"])
@pytest.mark.usefixtures("ledger")
def test_export_and_import_elsewhere(
    quick: Run, mailroom: Run, tmp_path: Path, environment: dict[str, str], locale: str
) -> None:
    tricky = ["=cmd|' /c calc'!a0@x.org", "+tag@x.org", "jürgen@x.org", "'quote@x.org"]
    quick("suppress", *tricky[1:], "--reason", '=HYPERLINK("x")\n,;', "--who", "@eva")
    environment = {**environment, "LC_ALL": locale, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    exported = subprocess.run([MAILROOM, "export"], cwd=tmp_path, env=environment, capture_output=True, timeout=60)
    assert exported.returncode == 0
    assert exported.stderr.endswith(b"4 addresses\n")
    table = list(csv.reader(exported.stdout.decode().splitlines()))
    assert {row[0] for row in table} == {"address", GONE, "'+tag@x.org", "jürgen@x.org", "''quote@x.org"}
    assert [cell for row in table for cell in row if cell.startswith(("=", "+", "-", "@"))] == []

    there = ("--database", "sqlite:///there.db")
    imported = subprocess.run(
        [MAILROOM, "import", "-", *WHY, *there],
        cwd=tmp_path, env=environment, input=exported.stdout, capture_output=True, timeout=60,
    )  # fmt: skip
    assert (imported.returncode, imported.stdout.split(b",")[0]) == (0, b"4 suppressed")
    again = quick("export", *there).stdout
    assert {row[0] for row in csv.reader(again.splitlines())} == {row[0] for row in table}
    assert "there: bounced, user-unknown" in again
    assert quick("export", "--state", "bounced", *there).stdout.count("\n") == 1
    assert quick("export", "--state", "bounced", "--state", "suppressed").stdout.count("\n") == 5


@pytest.mark.usefixtures("empty")
def test_who_was_suppressed_by_hand_is_no_find_of_the_next_run(quick: Run, mailroom: Run, tmp_path: Path) -> None:
    quick("suppress", "a@x.org", *WHY)
    engine = connect(f"sqlite:///{tmp_path / 'mailroom.db'}")
    with engine.begin() as connection:
        (made_at,) = connection.execute(select(outbox.c.made_at)).scalars()
        connection.execute(update(outbox).values(made_at=made_at - timedelta(minutes=1)))
    assert json.loads(mailroom("process", MAIL, "--json").stdout)["newly_suppressed"] == [GONE]
    with engine.begin() as connection:
        assert connection.execute(select(outbox)).all() == []
    engine.dispose()


def test_with_every_server_all_hear_of_it_at_once(
    quick: Run, amqp_url: str, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    servers = {
        "MAILROOM_AMQP_URL": amqp_url,
        "MAILROOM_DATABASE_URL": database_url,
        "MAILROOM_REDIS_URL": redis_url,
    }
    engine = connect(database_url)
    upgrade(engine)
    assert quick("rebuild", **servers).returncode == 0
    with closing(pika.BlockingConnection(pika.URLParameters(amqp_url))) as connection:
        channel = connection.channel()
        channel.exchange_declare("mailroom", "topic", durable=True)
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, "mailroom", "address.*")
        for arguments in (["suppress", "a@x.org", *WHY], ["release", "a@x.org", "--why", "x"]):
            ran = quick(*arguments, **servers)
            assert (ran.returncode, ran.stderr.count("\n")) == (0, 1), ran.stderr
            status = quick("check", "a@x.org", **servers).returncode
            method, _, body = channel.basic_get(queue, auto_ack=True)
            assert method is not None
            event = json.loads(body)
            assert (event["recipient"], status) == ("a@x.org", int(arguments[0] == "suppress"))
            assert method.routing_key == ("address.suppressed" if status else "address.released")
        with engine.connect() as connected:
            assert connected.execute(select(outbox)).all() == []
    engine.dispose()


def test_a_redis_that_is_away_is_told_of(quick: Run, ledger: None, tmp_path: Path) -> None:
    ran = quick("suppress", "a@x.org", *WHY, MAILROOM_REDIS_URL="redis://127.0.0.1:1/0")
    assert ran.returncode == 0
    assert "this is recorded, but Redis or the broker could not be told" in ran.stderr
    engine = connect(f"sqlite:///{tmp_path / 'mailroom.db'}")
    with engine.connect() as connection:
        states = dict(connection.execute(select(address.c.recipient, address.c.state)).all())
    engine.dispose()
    assert states["a@x.org"] == "suppressed"
