"""`python -m benchmarks [PART]`: measures one part, or all; the last line of each is one JSON object."""

import sys

from benchmarks import classifier, ledger
from benchmarks.results import pin_to_one_core, report

PARTS = {"ledger": ledger.measure, "classifier": classifier.measure}
ON_ONE_CORE = {"classifier"}  # pinned for good, so these come last


def main() -> int:
    """Exit status 2 for a part that there is not, else 0: a figure below its goal is a result, not an error."""
    wanted = sys.argv[1:] or list(PARTS)
    unknown = [part for part in wanted if part not in PARTS]
    if unknown:
        print(f"there is no part {unknown[0]!r}; the parts are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    for part in wanted:
        if part in ON_ONE_CORE:
            pin_to_one_core()
        report(part, PARTS[part]())
    return 0


if __name__ == "__main__":
    sys.exit(main())
