"""`python -m benchmarks [PART]`: measures one part, or all; the last line of each is one JSON object."""

import sys

from benchmarks import classifier, ledger
from benchmarks.results import pin_to_one_core, report

PARTS = {"classifier": classifier.measure, "ledger": ledger.measure}


def main() -> int:
    """Exit status 2 for a part that there is not, else 0: a figure below its goal is a result, not an error."""
    wanted = sys.argv[1:] or list(PARTS)
    unknown = [part for part in wanted if part not in PARTS]
    if unknown:
        print(f"there is no part {unknown[0]!r}; the parts are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    pin_to_one_core()
    for part in wanted:
        report(part, PARTS[part]())
    return 0


if __name__ == "__main__":
    sys.exit(main())
