"""`mailroom lists` as a person uses it, against the real mail server."""

import json
import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.fetcher.endpoint import Protocol
from shared.secrets import new_key
from tests.e2e.commands.conftest import MAILROOM, Ran
from tests.servers import certificates
from tests.servers.dovecot import DovecotServer, Mailbox

Run = Callable[..., Ran]
LABELS = [
    "List Bounce Email",
    "Bounce Email Server Name",
    "Bounce Email User Name",
    "Bounce Email Password",
    "Account Type",
    "Advanced Settings",
    "Empty Inbox When Done",
]
ADDRESS = "bounce@lists.example.com"


class Lists:
    """Runs `mailroom lists …` in this process, with a key and the mailbox's password."""

    def __init__(self, quick: Run, mailbox: Mailbox) -> None:
        self._quick = quick
        self._mailbox = mailbox
        self.variables = {"MAILROOM_SECRET_KEY": new_key(), "MAILROOM_PASSWORD": mailbox.password}
        assert quick("migrate", MAILROOM_DATABASE_URL="sqlite:///mailroom.db").returncode == 0

    def __call__(self, *arguments: str | Path, **more: str) -> Ran:
        ran = self._quick("lists", *arguments, **(self.variables | more))
        for password in (self._mailbox.password, more.get("MAILROOM_PASSWORD")):
            assert not password or password not in ran.stdout + ran.stderr
        assert "Traceback" not in ran.stderr
        return ran

    def add(self, name: str, *arguments: str | Path, protocol: str = "pop3", tls: str = "auto", **more: str) -> Ran:
        """With the port of Dovecot for implicit TLS, and its authority."""
        server = self._mailbox.server
        port = server.pop3s_port if protocol == "pop3" else server.imaps_port
        fields = ["--server", f"localhost:{port}", "--user", self._mailbox.user, "--type", protocol, "--tls", tls]
        return self("add", name, "--bounce-email", ADDRESS, *fields, "--ca", server.ca_file, *arguments, **more)

    def show(self, name: str) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self("show", name, "--json").stdout)
        return shown


@pytest.fixture
def lists(quick: Run, mailbox: Mailbox) -> Lists:
    return Lists(quick, mailbox)


@pytest.mark.parametrize("protocol", [kind.value for kind in Protocol])
def test_a_list_is_added_shown_tested_and_removed(lists: Lists, mailbox: Mailbox, protocol: str) -> None:
    for number in range(3):
        mailbox.deliver(b"Subject: %d\r\n\r\nx\r\n" % number)
    added = lists.add("weekly", "--title", "The weekly", protocol=protocol)
    assert (added.returncode, added.stdout.splitlines()[-1]) == (0, "weekly: added")
    assert "3 mails" in added.stdout
    shown = lists("show", "weekly").stdout
    assert all(label in shown for label in LABELS)
    assert "set, and not shown" in shown
    account = lists.show("weekly")["account"]
    assert (account["tls"], account["type"], account["empty"], account["every_minutes"]) == (
        "implicit",
        protocol,
        "bounces",
        15,
    )
    assert (account["has_password"], account["has_own_ca"]) == (True, True)
    tested = lists("test", "weekly")
    assert (tested.returncode, tested.stdout.startswith("ok: logged in at localhost"), "3 mails" in tested.stdout) == (
        0,
        True,
        True,
    )
    assert len(mailbox.mails()) == 3
    assert "weekly" in lists().stdout
    assert [one["list_id"] for one in json.loads(lists("--json").stdout)["lists"]] == ["weekly"]
    assert lists("remove", "weekly", "--yes").stdout == "weekly: removed, with its account weekly\n"
    assert json.loads(lists("--json").stdout) == {"lists": []}


def test_auto_detect_finds_starttls_and_stores_it(lists: Lists, dovecot: DovecotServer, mailbox: Mailbox) -> None:
    added = lists.add("weekly", "--server", f"localhost:{dovecot.pop3_port}")
    assert added.returncode == 0, added.stderr
    assert added.stdout.splitlines()[:2] == [
        f"tried port {dovecot.pop3_port} with TLS: wrong-port",
        f"tried port {dovecot.pop3_port} with STARTTLS: ok",
    ]
    assert lists.show("weekly")["account"]["tls"] == "starttls"
    tested = json.loads(lists("test", "weekly", "--json").stdout)
    assert [one["tls"] for one in tested["attempts"]] == ["starttls"]  # nothing is guessed any more
    again = lists("edit", "weekly", "--tls", "auto")
    assert f"tried port {dovecot.pop3_port} with STARTTLS: ok" in again.stdout, "a port of one's own stays"


def test_lists_with_one_mailbox_share_it(lists: Lists) -> None:
    lists.add("weekly")
    shared = lists.add("shop")
    assert shared.stdout == "shop: added; it shares the account weekly with the list weekly\n"
    assert lists.show("shop")["account"]["lists"] == ["shop", "weekly"]
    edited = lists("edit", "shop", "--empty", "nothing", "--every", "0")
    assert "this changes the account of the lists shop and weekly" in edited.stderr
    assert lists.show("weekly")["account"]["empty"] == "nothing"
    other = lists.add("third", "--empty", "all")
    assert other.returncode == 2
    assert "with another choice of what leaves the inbox: leave that out" in other.stderr
    ported = lists.add("third", "--server", "localhost:1", "--type", "imap")
    assert "with another account type and another port: leave that out" in ported.stderr
    assert lists("remove", "weekly", "--yes").stdout == "weekly: removed\n"
    assert lists("test", "shop").returncode == 0
    assert lists("remove", "shop", "--yes").stdout == "shop: removed, with its account weekly\n"


def test_an_authority_is_given_in_pem(lists: Lists, tmp_path: Path) -> None:
    (tmp_path / "ca.der").write_text("0\x82")
    refused = lists.add("weekly", "--ca", tmp_path / "ca.der")
    assert refused.returncode == 2
    assert "-----BEGIN CERTIFICATE-----" in refused.stderr


def test_what_does_not_work_is_not_saved(lists: Lists) -> None:
    refused = lists.add("weekly", MAILROOM_PASSWORD="canary-wrong")
    assert refused.returncode == 2
    assert "login-refused: " in refused.stderr
    assert "nothing was saved" in refused.stderr
    assert lists("show", "weekly").returncode == 2


def test_a_certificate_that_nobody_trusts_is_shown(lists: Lists, dovecot: DovecotServer, mailbox: Mailbox) -> None:
    lists.add("weekly")
    edited = lists("edit", "weekly", "--no-ca")
    assert edited.returncode == 2
    for said in (
        "certificate-refused: ",
        "CN=localhost",
        "throw-away authority",
        "SHA-256  ",
        "Nothing secret was sent",
    ):
        assert said in edited.stderr
    assert lists.show("weekly")["account"]["has_own_ca"] is True


def test_a_test_that_fails_tells_programs_why(
    lists: Lists, dovecot: DovecotServer, mailbox: Mailbox, tmp_path: Path
) -> None:
    lists.add("weekly")
    dovecot.change_password(mailbox.user, "another password")
    tested = lists("test", "weekly", "--json")
    answer = json.loads(tested.stdout)
    assert (tested.returncode, answer["ok"], answer["error"]["class"]) == (1, False, "login-refused")
    other = certificates.make(tmp_path)
    assert lists("edit", "weekly", "--ca", other.ca_file, "--untested").returncode == 0
    answer = json.loads(lists("test", "weekly", "--json").stdout)
    assert answer["error"]["class"] == "certificate-refused"
    assert answer["certificate"]["pem"] == dovecot.certificates.certificate_file.read_text()


def test_a_new_password(lists: Lists, dovecot: DovecotServer, mailbox: Mailbox) -> None:
    lists.add("weekly")
    dovecot.change_password(mailbox.user, "canary-new")
    assert lists("edit", "weekly", "--password").returncode == 2  # the old one
    assert lists("edit", "weekly", "--password", MAILROOM_PASSWORD="canary-new").returncode == 0
    assert lists("test", "weekly").returncode == 0


def test_another_server_or_user_needs_the_password_again(
    lists: Lists, dovecot: DovecotServer, mailbox: Mailbox
) -> None:
    """Or else whoever may edit a list could have the password sent to a server of his own."""
    lists.add("weekly")
    server = f"127.0.0.1:{dovecot.pop3s_port}"
    refused = lists("edit", "weekly", "--server", server, MAILROOM_PASSWORD="")
    assert (refused.returncode, "password is missing" in refused.stderr) == (2, True)
    assert lists("edit", "weekly", "--server", server).returncode == 0
    account = lists.show("weekly")["account"]
    assert (account["name"], account["server"]) == ("weekly-2", "127.0.0.1")  # another mailbox is another account


def test_another_way_to_the_server_needs_the_password_again(
    lists: Lists, dovecot: DovecotServer, mailbox: Mailbox
) -> None:
    """Or else it could be sent in the clear, or to whoever answers at another port."""
    lists.add("weekly")
    for way in (
        ["--tls", "none"],
        ["--server", f"localhost:{dovecot.pop3_port}"],
        ["--ca", str(dovecot.ca_file), "--tls", "starttls"],
        ["--no-ca"],
    ):
        refused = lists("edit", "weekly", *way, MAILROOM_PASSWORD="")
        assert (refused.returncode, "password is missing" in refused.stderr) == (2, True), way
    assert lists("test", "weekly").returncode == 0


def test_a_port_of_its_own_stays_when_only_tls_is_chosen(lists: Lists, dovecot: DovecotServer) -> None:
    lists.add("weekly")
    edited = lists("edit", "weekly", "--tls", "implicit")
    assert edited.returncode == 0, edited.stderr
    assert lists.show("weekly")["account"]["port"] == dovecot.pop3s_port


def test_from_pop3_to_imap_and_back(lists: Lists, dovecot: DovecotServer, mailbox: Mailbox) -> None:
    lists.add("weekly")
    edited = lists("edit", "weekly", "--type", "imap", "--server", f"localhost:{dovecot.imaps_port}")
    assert edited.returncode == 0, edited.stderr
    account = lists.show("weekly")["account"]
    assert (account["name"], account["type"], account["folder"]) == ("weekly", "imap", "INBOX")
    assert lists("edit", "weekly", "--folder", "Nowhere").returncode == 2
    back = lists("edit", "weekly", "--type", "pop3", "--server", f"localhost:{dovecot.pop3s_port}")
    assert back.returncode == 0, back.stderr
    assert lists.show("weekly")["account"]["folder"] == ""


def test_what_needs_no_connection_is_changed_without_one(
    lists: Lists, dovecot: DovecotServer, mailbox: Mailbox
) -> None:
    lists.add("weekly")
    dovecot.change_password(mailbox.user, "another password")
    edited = lists(
        "edit", "weekly", "--title", "W", "--bounce-email", "b@example.org", "--every", "5", "--pause", "--empty", "all",
        MAILROOM_SECRET_KEY="",
    )  # fmt: skip
    assert edited.returncode == 0, edited.stderr
    shown = lists.show("weekly")
    assert (shown["title"], shown["bounce_email"]) == ("W", "b@example.org")
    account = shown["account"]
    assert (account["is_active"], account["every_minutes"], account["empty"]) == (False, 5, "all")
    assert "paused" in lists().stdout


def test_a_list_gets_its_account_later(lists: Lists, dovecot: DovecotServer, mailbox: Mailbox) -> None:
    added = lists("add", "weekly", "--bounce-email", ADDRESS)
    assert added.stdout == "weekly: added, without a bounce account\n"
    assert "no bounce account yet" in lists().stdout
    assert lists.show("weekly")["account"] is None
    for command in (["test", "weekly"], ["edit", "weekly", "--empty", "all"]):
        assert lists(*command).returncode == 2
    server = f"localhost:{dovecot.pop3s_port}"
    edited = lists("edit", "weekly", "--server", server, "--user", mailbox.user, "--ca", dovecot.ca_file)
    assert edited.returncode == 0, edited.stderr
    assert lists("test", "weekly").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        ([], {"MAILROOM_SECRET_KEY": ""}, "mailroom secret-key"),
        ([], {"MAILROOM_SECRET_KEY": "canary"}, "MAILROOM_SECRET_KEY is no key"),
        ([], {"MAILROOM_PASSWORD": ""}, "set MAILROOM_PASSWORD"),
        (["--untested"], {}, "auto detect has to connect"),
        (["--folder", "x"], {}, "POP3 knows no folders"),
        (["--empty", "move:x"], {}, "POP3 cannot move"),
        (["--empty", "some"], {}, "none of bounces, all, nothing"),
        (["--server", "a b"], {}, "is no host name"),
        (["--user", "a\nb"], {}, "line break"),
        (["--ca", "missing.pem"], {}, "missing.pem cannot be read"),
        (["--bounce-email", "nobody"], {}, "no e-mail address"),
        (["--type", "smtp"], {}, "'smtp' is not one of 'pop3', 'imap'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(lists: Lists, arguments: list[str], variables: dict[str, str], said: str) -> None:
    ran = lists.add("weekly", *arguments, **variables)
    assert (ran.returncode, said in ran.stderr) == (2, True), ran.stderr
    assert json.loads(lists("--json").stdout) == {"lists": []}


def test_names_that_are_no_lists(lists: Lists) -> None:
    assert "is no name of a list" in lists("add", "a b", "--bounce-email", ADDRESS).stderr
    for command in (["show", "x"], ["test", "x"], ["edit", "x", "--title", "y"], ["remove", "x", "--yes"]):
        ran = lists(*command)
        assert (ran.returncode, "there is no list 'x'" in ran.stderr) == (2, True)
    lists.add("weekly")
    assert "already" in lists.add("weekly").stderr
    assert "nothing to change" in lists("edit", "weekly").stderr
    assert "--yes" in lists("remove", "weekly").stderr
    assert lists("show", "weekly").returncode == 0


def test_text_of_a_list_plays_no_tricks_on_the_terminal(lists: Lists) -> None:
    assert lists.add("weekly", "--title", "a\x1b[2Jb").returncode == 2
    lists.add("weekly", "--title", "[red]x[/red] [link=y]z")
    assert "[red]x[/red] [link=y]z" in lists("show", "weekly").stdout


def test_without_a_database_none_is_made(quick: Run, tmp_path: Path) -> None:
    for command in (["lists"], ["lists", "add", "weekly", "--bounce-email", ADDRESS], ["secrets", "rotate"]):
        ran = quick(*command, MAILROOM_SECRET_KEY=new_key())
        assert (ran.returncode, "there is no database" in ran.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_rotation(lists: Lists, quick: Run) -> None:
    lists.add("weekly")
    old, new = lists.variables["MAILROOM_SECRET_KEY"], quick("secret-key").stdout.strip()
    lost = quick("secrets", "rotate", MAILROOM_SECRET_KEY=new)
    assert (lost.returncode, "'weekly'" in lost.stderr) == (1, True)
    rotated = quick("secrets", "rotate", MAILROOM_SECRET_KEY=f"{new},{old}")
    assert (rotated.returncode, rotated.stdout) == (0, "1 sealed anew, 0 had the first key already\n")
    assert lists("test", "weekly").returncode == 2
    assert lists("test", "weekly", MAILROOM_SECRET_KEY=new).returncode == 0


def test_on_a_terminal_the_password_is_asked_for_and_not_shown(
    lists: Lists, dovecot: DovecotServer, mailbox: Mailbox, environment: dict[str, str], tmp_path: Path
) -> None:
    """And so is whether to remove a list."""
    key = lists.variables["MAILROOM_SECRET_KEY"]
    server = f"localhost:{dovecot.pop3s_port}"
    add = ["add", "weekly", "--bounce-email", ADDRESS, "--server", server, "--user", mailbox.user]
    shown = on_a_terminal(
        ["lists", *add, "--ca", str(dovecot.ca_file)],
        mailbox.password,
        environment | {"MAILROOM_SECRET_KEY": key},
        tmp_path,
    )
    assert f"Password for {mailbox.user} at localhost: " in shown
    assert mailbox.password not in shown
    assert "weekly: added" in shown
    assert "Remove the list weekly and the account weekly" in on_a_terminal(
        ["lists", "remove", "weekly"], "n", environment, tmp_path
    )
    assert lists("show", "weekly").returncode == 0
    assert "weekly: removed" in on_a_terminal(["lists", "remove", "weekly"], "y", environment, tmp_path)


def on_a_terminal(arguments: list[str], answer: str, environment: dict[str, str], folder: Path) -> str:
    """All that a person sees who types the answer once the command asks."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [MAILROOM, *arguments],
        cwd=folder,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        shown = b""
        is_answered = False
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            shown += piece
            if not is_answered and shown.rstrip().endswith((b":", b"]")) and b"database:" in shown:
                os.write(ours, answer.encode() + b"\n")
                is_answered = True
        process.wait(timeout=60)
    os.close(ours)
    return shown.decode()
