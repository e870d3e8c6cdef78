"""`python -m benchmarks [PART]`: measures one part, or all; the last line of each is one JSON object."""

import argparse
import sys
from functools import partial

from benchmarks import classifier, console, fetcher, ledger, pipeline
from benchmarks.results import pin_to_one_core, report
from services.fetcher.endpoint import Tls

PARTS = ("ledger", "fetcher", "console", "pipeline", "classifier")
ON_ONE_CORE = {"classifier"}  # pinned for good, so these come last


def main() -> int:
    """Exit status 2 for a part that there is not, else 0: a figure below its goal is a result, not an error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; without any, all of them")
    parser.add_argument(
        "--mails", type=int, default=fetcher.MAILS, help="mails in the mailbox of the fetcher, and of the pipeline"
    )
    parser.add_argument("--starttls", action="store_true", help="the fetcher asks for TLS on the ports in the clear")
    arguments = parser.parse_args()
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        print(f"there is no part {unknown[0]!r}; the parts are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    measures = {
        "ledger": ledger.measure,
        "fetcher": partial(fetcher.measure, arguments.mails, Tls.STARTTLS if arguments.starttls else Tls.IMPLICIT),
        "console": console.measure,
        "pipeline": partial(pipeline.measure, arguments.mails),
        "classifier": classifier.measure,
    }
    for part in arguments.parts or PARTS:
        if part in ON_ONE_CORE:
            pin_to_one_core()
        report(part, measures[part]())
    return 0


if __name__ == "__main__":
    sys.exit(main())
