"""The commands of docs/api.md, run as they stand."""

import json
import os
import re
import subprocess
from pathlib import Path

from services.console.tokens import Scope
from shared.identity import raw_id
from tests.e2e.mails import UNKNOWN, Send, bounce_of
from tests.servers.console import serve

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
MAIL = bounce_of(Send("gone@example.net", 1, *UNKNOWN))


def commands() -> list[str]:
    """Those that a person would copy, whole."""
    lines = "\n".join(line[4:] for line in PAGE.read_text().splitlines() if line.startswith("    "))
    return [command.replace("\\\n", " ") for command in re.findall(r"^curl (?:.*\\\n)*.*$", lines, re.MULTILINE)]


def test_each_does_what_is_said(tmp_path: Path, amqp_url: str) -> None:
    (tmp_path / "bounce.eml").write_bytes(MAIL)
    with serve(f"sqlite:///{tmp_path / 'mailroom.db'}", amqp_url=amqp_url) as console:
        token = console.backing.tokens.make("shop", list(Scope), "tests")
        variables = {**os.environ, "MAILROOM_API": f"{console.url}/api/v1", "MAILROOM_TOKEN": token}

        def run(command: str) -> dict[str, object]:
            ran = subprocess.run(
                ["bash", "-c", command], cwd=tmp_path, env=variables, capture_output=True, check=True, timeout=60
            )
            answer: dict[str, object] = json.loads(ran.stdout)
            return answer

        check, suppress, intake, history = commands()
        assert [one["suppressed"] for one in run(check)["answers"]] == [False, False]  # type: ignore[index,attr-defined]
        marked = [{"address": "jane@example.com", "before": "ok", "after": "suppressed"}]
        assert run(suppress)["marked"] == run(suppress)["marked"] == marked
        assert [one["suppressed"] for one in run(check)["answers"]] == [True, False]  # type: ignore[index,attr-defined]
        assert run(intake) == {"raw_id": raw_id(MAIL)}
        assert run(history)["state"] == "suppressed"
