"""The same mail gives the same bytes, whatever process judges it, in whatever order."""

import os
import subprocess
import sys

from tests.property.mutations import ROOT, own_mails

PLACES = (
    {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"},
    {"PYTHONHASHSEED": "2", "TZ": "America/St_Johns", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
)


def judged(place: dict[str, str], *arguments: str) -> list[bytes]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.property.judging", *arguments],
        cwd=ROOT,
        env={**os.environ, **place},
        check=True,
        capture_output=True,
    )
    return done.stdout.splitlines()


def test_two_processes_say_the_same() -> None:
    first, second = judged(PLACES[0]), judged(PLACES[1], "backwards")
    assert len(first) == len(own_mails())
    assert first == second
