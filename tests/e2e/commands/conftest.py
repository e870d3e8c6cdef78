"""`mailroom …` as a person runs it: in an empty folder, without any server configured."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from services.cli import main

ROOT = Path(__file__).parents[3]
MAILROOM = str(Path(sys.executable).parent / "mailroom")
Ran = subprocess.CompletedProcess[str]


@pytest.fixture
def environment() -> dict[str, str]:
    """Without settings of whoever runs the tests."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAILROOM_")}
    return {**clean, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def mailroom(tmp_path: Path, environment: dict[str, str]) -> Callable[..., Ran]:
    """Runs it to its end as a process; `more` are variables of the environment."""

    def run(*arguments: str | Path, **more: str) -> Ran:
        command = [MAILROOM, *map(str, arguments)]
        return subprocess.run(
            command, cwd=tmp_path, env={**environment, **more}, capture_output=True, text=True, timeout=60
        )

    return run


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Runs it within this process: for commands that start nothing and log nothing."""
    monkeypatch.chdir(tmp_path)
    unset = {name: None for name in os.environ if name.startswith("MAILROOM_")}

    def run(*arguments: str | Path, **more: str) -> Ran:
        command = list(map(str, arguments))
        done = CliRunner().invoke(main, command, prog_name="mailroom", env={**unset, **more})
        return subprocess.CompletedProcess(command, done.exit_code, done.stdout, done.stderr)

    return run
