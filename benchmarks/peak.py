"""`python -m benchmarks.peak NAME`: judges all mails of a set in this fresh process; prints two peaks of memory in bytes.

The first is what the code, the rules and the mails take, the second what judging came to.
"""

import resource
import subprocess
import sys
from pathlib import Path

from benchmarks.mails import mail_sets
from benchmarks.results import Row
from services.classifier.judge import judge

STATUS = Path("/proc/self/status")
MEBIBYTE = 1024 * 1024


def measure_peak(name: str) -> list[Row]:
    """MiB of a process that judges every mail of the set."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peak", name],
        cwd=Path(__file__).parents[1],
        check=True,
        capture_output=True,
        text=True,
    )
    before, after = (int(word) / MEBIBYTE for word in done.stdout.split())
    return [
        Row("peak memory of a process that judges all", round(after, 1), "MiB", round(before, 1)),
        Row("growth of that by judging", round(after - before, 1), "MiB"),
    ]


def peak_bytes() -> int:
    """The most memory that this process ever had. ru_maxrss alone also counts what its parent had when it started it."""
    if STATUS.is_file():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    (raws,) = (mails.raws for mails in mail_sets() if mails.name == sys.argv[1])
    judge(raws[0])
    before = peak_bytes()
    for raw in raws:
        judge(raw)
    print(before, peak_bytes())


if __name__ == "__main__":
    main()
