"""The command line as a newcomer meets it: no server, one folder, and errors that say what to do."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXPECTED = tomllib.loads((ROOT / "samples/expected.toml").read_text(encoding="utf-8"))["totals"]
COUNTS = ("found", "hard", "soft", "unidentified", "ignored", "duplicate", "dead_lettered")


@pytest.fixture
def mailroom(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Runs `mailroom …` in an empty folder, without any server configured."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAILROOM_")}

    def run(*arguments: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "mailroom"), *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env={**environment, **more}, input=stdin, capture_output=True, text=True, timeout=90
        )

    return run


def test_the_samples_give_what_their_expectations_say_and_once_only(mailroom) -> None:  # type: ignore[no-untyped-def]
    first = json.loads(mailroom("process", str(ROOT / "samples"), "--json").stdout)
    assert {name: first[name] for name in COUNTS} == {name: EXPECTED[name] for name in COUNTS}
    assert first["newly_suppressed"] == sorted(EXPECTED["newly_suppressed"])
    assert first["found"] == sum(first[name] for name in COUNTS[1:])

    again = json.loads(mailroom("process", str(ROOT / "samples"), "--json").stdout)
    assert again["found"] == again["duplicate"] == EXPECTED["found"]
    assert again["newly_suppressed"] == []

    assert mailroom("check", EXPECTED["newly_suppressed"][0]).returncode == 1
    assert mailroom("check", "patient.reader@example.org").returncode == 0
    both = mailroom("check", "--json", EXPECTED["newly_suppressed"][0].upper(), "patient.reader@example.org")
    assert both.returncode == 1
    assert [row["suppressed"] for row in json.loads(both.stdout)] == [True, False]


def test_the_table_is_for_people(mailroom) -> None:  # type: ignore[no-untyped-def]
    shown = mailroom("process", str(ROOT / "samples"))
    assert shown.returncode == 0
    for name in ("hard", "soft", "unidentified", "ignored", "duplicate", "dead-lettered"):
        assert f"\n{name} " in shown.stdout
    assert "Newly suppressed" in shown.stdout
    assert "mailroom.db" in shown.stderr


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (None, 2),
        (b"", 0),
        (os.urandom(10_000_000), 0),
        (b"\r\n" * 5_000, 0),
        (b"From " * 100_000, 0),
    ],
    ids=["unreadable", "empty", "10 MB of noise", "line ends only", "From and From"],
)
def test_any_file_gives_a_result_or_a_clear_error(mailroom, tmp_path: Path, content: bytes | None, status: int) -> None:  # type: ignore[no-untyped-def]
    if content is not None:
        (tmp_path / "file.eml").write_bytes(content)
    ran = mailroom("process", "file.eml", "--json")
    assert ran.returncode == status, ran.stderr
    assert "Traceback" not in ran.stderr
    result = json.loads(ran.stdout)
    assert result["found"] == sum(result[name] for name in COUNTS[1:])
    assert (result["errors"] != []) == (status == 2)


def test_an_unreadable_source_does_not_keep_the_others_from_being_done(mailroom, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    ran = mailroom("process", "missing", str(ROOT / "samples/mails/postfix_user_unknown.eml"), "--json")
    assert ran.returncode == 2
    assert json.loads(ran.stdout)["hard"] == 1
    assert "missing cannot be read" in ran.stderr


def test_without_a_database_nobody_is_told_that_an_address_is_clean(mailroom, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    asked = mailroom("check", "jane@example.org")
    assert asked.returncode == 2
    assert "there is no database at" in asked.stderr
    assert list(tmp_path.iterdir()) == []


def test_filter_passes_the_rows_that_may_be_mailed(mailroom) -> None:  # type: ignore[no-untyped-def]
    mailroom("process", str(ROOT / "samples"))
    bounced = EXPECTED["newly_suppressed"][0]
    contacts = f'name,email\n"Weber, Jane",jane@example.org\nGone,{bounced.title()}\n"=cmd",bob@example.org\n'
    filtered = mailroom("filter", stdin=contacts)
    assert filtered.returncode == 0
    assert filtered.stdout == 'name,email\n"Weber, Jane",jane@example.org\n=cmd,bob@example.org\n'
    assert "2 rows printed, 1 left out" in filtered.stderr
    assert bounced in mailroom("filter", "--suppressed", stdin=contacts).stdout.lower()
    broken = mailroom("filter", stdin="name,email\nNobody,not an address\n")
    assert broken.returncode == 2
    assert broken.stdout == "name,email\n"
    assert "line 2" in broken.stderr
    unclosed = mailroom("filter", stdin='name,email\n"Open,ann@example.org\n"C",cyd@example.org\nDan,dan@example.org\n')
    assert (unclosed.returncode, unclosed.stdout) == (2, "name,email\nDan,dan@example.org\n")
    assert "line 2: this is not CSV" in unclosed.stderr


def test_a_service_that_is_not_configured_names_every_variable(mailroom) -> None:  # type: ignore[no-untyped-def]
    for service, variables in {
        "fetcher": ["MAILROOM_AMQP_URL", "MAILROOM_DATABASE_URL"],
        "classifier": ["MAILROOM_AMQP_URL"],
        "ledger": ["MAILROOM_AMQP_URL", "MAILROOM_DATABASE_URL"],
    }.items():
        started = mailroom(service)
        assert started.returncode == 2
        assert "Traceback" not in started.stderr
        for variable in variables:
            assert variable in started.stderr


def test_what_failed_leaves_no_database_that_would_call_everybody_clean(mailroom, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for arguments in (["process", "nothing-there"], ["rebuild"], ["dead", "replay", "--all"], ["dead", "list"]):
        ran = mailroom(*arguments, MAILROOM_REDIS_URL="redis://127.0.0.1:1/0")
        assert ran.returncode == 2, arguments
        assert "Traceback" not in ran.stderr
    assert mailroom("check", "jane@example.org").returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_a_password_in_a_broken_url_is_not_repeated(mailroom) -> None:  # type: ignore[no-untyped-def]
    for url in ("postgresql://u:secret@127.0.0.1:x/db", "postgres;//u:secret@h/db"):
        ran = mailroom("check", "--database", url, "jane@example.org")
        assert ran.returncode == 2
        assert "secret" not in ran.stdout + ran.stderr
    ran = mailroom("process", "imaps://joe:secret@mail.example.org")
    assert ran.returncode == 2
    assert "secret" not in ran.stdout + ran.stderr


def test_filter_takes_other_delimiters_and_refuses_what_is_ambiguous(mailroom) -> None:  # type: ignore[no-untyped-def]
    mailroom("process", str(ROOT / "samples"))
    bounced = EXPECTED["newly_suppressed"][0]
    filtered = mailroom("filter", stdin=f'name;email\n"Berg; Anna";{bounced}\nJane;jane@example.org\n')
    assert filtered.returncode == 0
    assert filtered.stdout == "name;email\nJane;jane@example.org\n"
    twice = mailroom("filter", stdin=f"email,email\njane@example.org,{bounced}\n")
    assert twice.returncode == 2
    assert "2 columns are named" in twice.stderr


OWN_RULE = """[[rule]]
id = "acme-parked"
reason = "suspend"
server = "mx.acme.example"
remote = ["acme.example"]
phrases = ["mailbox parked"]
examples = ["550 5.2.1 mailbox parked by owner"]
"""


def test_an_own_rule_is_checked_proved_listed_and_tried(mailroom, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "rules").mkdir()
    file = tmp_path / "rules" / "acme.toml"
    file.write_text(OWN_RULE)
    assert mailroom("rules", "check", "rules").returncode == 0
    assert mailroom("rules", "test", "rules").returncode == 0
    rows = [json.loads(line) for line in mailroom("rules", "list", "rules", "--json").stdout.splitlines()]
    assert [row["file"] for row in rows if row["id"] == "acme-parked"] == ["acme.toml (own)"]
    tried = mailroom("rules", "try", "550 mailbox parked", "--remote", "mx.acme.example", MAILROOM_RULES_DIR="rules")
    assert "decides   acme-parked" in tried.stdout

    file.write_text(OWN_RULE.replace("mailbox parked by owner", "quota exceeded for this mailbox"))
    wrong = mailroom("rules", "test", "rules")
    assert wrong.returncode == 1
    assert "rule 'acme-parked' must decide" in wrong.stdout

    file.write_text("\n\n" + OWN_RULE.replace("suspend", "suspendid") + OWN_RULE.replace("phrases", "phrase"))
    bad = mailroom("rules", "check", "rules")
    assert bad.returncode == 2
    assert "acme.toml:3: rule 'acme-parked': unknown reason 'suspendid'" in bad.stderr
    assert "acme.toml:10: rule 'acme-parked': unknown key 'phrase'" in bad.stderr
    refused = mailroom("classify", str(ROOT / "samples" / "mails"), MAILROOM_RULES_DIR="rules")
    assert (refused.returncode, "acme.toml:3" in refused.stderr) == (2, True)
