"""What `docker compose up` starts, tried from outside as its first user would."""

import subprocess
import urllib.request
from pathlib import Path

from tests.compose.deployment import SERVICES, Deployment
from tests.servers.waiting import eventually

SAMPLES = Path(__file__).parents[2] / "samples/mails"
UNKNOWN = (SAMPLES / "postfix_user_unknown.eml").read_bytes()
MAILED = "anna.berg@example.org"
IN_MAILBOX = UNKNOWN.replace(b"anna.berg@", b"berta.berg@").replace(b"Message-ID: <", b"Message-ID: <b.")


def is_suppressed(deployment: Deployment, address: str) -> bool:
    status, said = deployment.mailroom("ledger", "check", address)
    assert status in (0, 1), said
    return status == 1


def test_a_bounce_that_is_published_is_counted(deployment: Deployment) -> None:
    assert not is_suppressed(deployment, MAILED)
    assert deployment.mailroom("classifier", "publish", "-", standard_input=UNKNOWN) == (0, "")
    eventually(lambda: is_suppressed(deployment, MAILED), "the bounce", timeout_s=60, poll_s=0.5)


def test_a_bounce_in_a_mailbox_is_fetched_counted_and_cleaned(deployment: Deployment) -> None:
    with deployment.mail_server() as server:

        def in_mailbox(command: str, standard_input: bytes = b"") -> str:
            done = subprocess.run(
                ["docker", "exec", "--interactive", "--user", "nobody", server, "sh", "-c", command],
                input=standard_input,
                capture_output=True,
                check=True,
            )
            return done.stdout.decode()

        in_mailbox(
            "mkdir -p /mail/bounces/new /mail/bounces/cur /mail/bounces/tmp && cat >/mail/bounces/new/1", IN_MAILBOX
        )
        status, said = deployment.mailroom(
            "console", "lists", "add", "weekly", "--bounce-email", "bounces@example.com", "--server", "mailserver:110",
            "--user", "bounces", "--type", "pop3", "--tls", "none", MAILROOM_PASSWORD="of-the-trial",
        )  # fmt: skip
        assert status == 0, said
        assert deployment.mailroom("console", "fetch", "weekly")[0] == 0  # the scheduler would, within 15 minutes
        eventually(lambda: is_suppressed(deployment, "berta.berg@example.org"), "the mail", timeout_s=90, poll_s=1.0)
        left = "ls /mail/bounces/new /mail/bounces/cur | grep -c 1 || true"
        eventually(lambda: in_mailbox(left) == "0\n", "an empty mailbox", timeout_s=60, poll_s=1.0)


def test_the_console_answers_on_this_machine(deployment: Deployment) -> None:
    status, said = deployment.mailroom(
        "console", "users", "add", "anna", "--role", "administrator", MAILROOM_PASSWORD="a password of the trial"
    )
    assert status == 0, said
    with urllib.request.urlopen(f"http://127.0.0.1:{deployment.console_port}/login", timeout=10) as page:
        assert "Log in" in page.read().decode()


def test_four_classifiers_share_the_work(deployment: Deployment) -> None:
    deployment.up("--scale", "classifier=4")
    assert deployment.count("classifier") == 4
    assert set(SERVICES) <= set(deployment.states())


def test_down_and_up_again_nothing_is_lost(deployment: Deployment) -> None:
    deployment.compose("stop", "classifier")
    other = UNKNOWN.replace(b"anna.berg@", b"clara.berg@").replace(b"Message-ID: <", b"Message-ID: <c.")
    assert deployment.mailroom("ledger", "publish", "-", standard_input=other) == (0, "")
    deployment.compose("down")
    assert deployment.states() == {}
    deployment.up()
    assert is_suppressed(deployment, MAILED)
    eventually(lambda: is_suppressed(deployment, "clara.berg@example.org"), "what waited in a queue", timeout_s=60)
