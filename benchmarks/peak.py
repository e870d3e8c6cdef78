"""`python -m benchmarks.peak`: judges the mails of standard input in this fresh process; prints two peaks of memory in bytes.

The first is what the code, the rules and the mails take, the second what judging came to.
"""

import io
import resource
import subprocess
import sys
from pathlib import Path

from benchmarks.results import Row
from services.classifier.framing import read_frame, write_frame
from services.classifier.judge import judge
from services.classifier.rulebook import own_rulebook

STATUS = Path("/proc/self/status")
MEBIBYTE = 1024 * 1024


def measure_peak(raws: list[bytes]) -> list[Row]:
    """MiB of a process that judges every mail."""
    frames = io.BytesIO()
    for raw in raws:
        write_frame(frames, raw)
    command = [sys.executable, "-m", "benchmarks.peak"]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, input=frames.getvalue(), check=True, stdout=subprocess.PIPE)
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
    raws: list[bytes] = []
    while (raw := read_frame(sys.stdin.buffer)) is not None:
        raws.append(raw)
    own_rulebook()
    before = peak_bytes()
    for raw in raws:
        judge(raw)
    print(before, peak_bytes())


if __name__ == "__main__":
    main()
