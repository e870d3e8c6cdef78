"""The classifier beside flufl.bounce over the same bounces on one core, by stage, by size, in memory, and in the sandbox.

The floor is the standard library's parser over the same mails, which finds no recipient and no reason yet. flufl.bounce
finds recipients and whether they failed for good, not why.
"""

import logging
from email import message_from_bytes
from email.policy import compat32
from importlib.metadata import version
from time import perf_counter

from flufl.bounce import all_failures

from benchmarks.forgetting import forget
from benchmarks.growth import measure_growth
from benchmarks.mails import MailSet, mail_sets
from benchmarks.peak import measure_peak
from benchmarks.results import Bound, Row, race
from benchmarks.stages import measure_stages
from services.classifier.judge import judge
from services.classifier.sandbox import Sandbox

ROUNDS = 7
RATE_GOAL = 6_000
"""Messages a second on one core."""
PEER_GOAL = 3.5
"""Times what flufl.bounce does in the same run."""
IN_SANDBOX_COPIES = 4


def measure() -> list[Row]:
    """Every set of mails in turn; stages and memory over the last, which is the corpus where there is one."""
    logging.getLogger().addHandler(logging.NullHandler())  # flufl.bounce logs what its detectors raise
    sets = mail_sets()
    rows = [row for mails in sets for row in _measure_rates(mails)]
    widest = sets[-1]
    rows += _named(widest, measure_stages(widest.raws))
    rows += _named(widest, measure_peak(widest.raws))
    rows += _named(widest, [_measure_sandbox(widest.raws)])
    return rows + measure_growth()


def _measure_rates(mails: MailSet) -> list[Row]:
    raised: set[int] = set()

    def parse_with_standard_library() -> int:
        for raw in mails.raws:
            message_from_bytes(raw, policy=compat32)
        return len(mails.raws)

    def judge_here() -> int:
        for raw in mails.raws:
            judge(raw)
        return len(mails.raws)

    def ask_flufl() -> int:
        for number, raw in enumerate(mails.raws):
            try:
                all_failures(message_from_bytes(raw))
            except Exception:  # noqa: BLE001  # a mail that it cannot read counts as read
                raised.add(number)
        return len(mails.raws)

    rates = race(
        {"floor": parse_with_standard_library, "ours": judge_here, "peer": ask_flufl}, ROUNDS, before_each=forget
    )
    met = race({"ours": judge_here}, ROUNDS)
    peer = f"flufl.bounce {version('flufl.bounce')}"
    rows = [
        Row("judge, in this process", rates["ours"], "messages/s", rates["floor"], RATE_GOAL, Bound.LEAST_VALUE),
        Row("judge, replies it has met before", met["ours"], "messages/s", rates["floor"]),
        Row(peer, rates["peer"], "messages/s", rates["floor"]),
        Row("judge in times of flufl.bounce", round(rates["ours"] / rates["peer"], 2), "×", goal=PEER_GOAL),
        Row(f"mails on which {peer} raises", len(raised), "mails"),
    ]
    return _named(mails, rows)


def _measure_sandbox(raws: list[bytes]) -> Row:
    mails = raws * IN_SANDBOX_COPIES
    sandbox = Sandbox()

    def judge_in_sandbox() -> int:
        return len(sandbox.judge(mails))

    def parse_with_standard_library() -> int:
        for raw in mails:
            message_from_bytes(raw, policy=compat32)
        return len(mails)

    try:
        # Two processes work: seconds of the clock on the wall.
        rates = race({"floor": parse_with_standard_library, "ours": judge_in_sandbox}, 3, clock=perf_counter)
    finally:
        sandbox.close()
    return Row("judge, in the sandbox", rates["ours"], "messages/s", rates["floor"])


def _named(mails: MailSet, rows: list[Row]) -> list[Row]:
    """Rows that say over which mails they were measured."""
    return [
        Row(f"{row.name} ({mails.name}, {len(mails.raws)})", row.value, row.unit, row.floor, row.goal, row.bound)
        for row in rows
    ]
