"""What the ledger must come to, computed from the full list at once and without a line of the ledger's code.

Also the makers of verdicts, holds and marks that the tests of the ledger share.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Engine, insert, select

from shared.contract import Outcome, VerdictMessage
from shared.tables.ledger import address, hold, mark, raw, report

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAR_FUTURE = datetime(2999, 1, 1, tzinfo=UTC)
ORDER = ("complaint", "unidentified", "delayed", "soft", "hard")


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def name(text: str) -> str:
    """An id of 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def outcome(recipient: str | None, verdict: str = "hard", event: str = "send", **fields: Any) -> Outcome:
    made: dict[str, Any] = {
        "event_id": name(f"{event} to {recipient}"),
        "tier": 2,
        "recipient": recipient,
        "final_recipient": recipient,
        "verdict": verdict,
        "reason": {"hard": "user-unknown", "soft": "mailbox-full"}.get(verdict),
        "fault": None,
        "action": "failed",
        "status": None,
        "reply_code": None,
        "diagnostic_code": None,
        "remote_mta": None,
        "rule": "test",
        "evidence": "",
    }
    return Outcome(**(made | fields))  # type: ignore[typeddict-item]


def verdict(mail: str, *outcomes: Outcome, received_at: datetime = T0, **fields: Any) -> VerdictMessage:
    made: dict[str, Any] = {
        "schema_version": 1,
        "raw_id": name(f"mail {mail}"),
        "publisher_id": None,
        "list_id": None,
        "run_id": None,
        "account": None,
        "kind": "bounce",
        "verdict": "hard",
        "received_at": received_at,
        "truncated": False,
        "reporting_mta": None,
        "campaign": None,
        "classifier_version": 1,
        "judged_at": T0,
        "outcomes": list(outcomes),
    }
    return VerdictMessage(**(made | fields))  # type: ignore[typeddict-item]


class Word(NamedTuple):
    """What a person said of an address."""

    recipient: str
    made_at: datetime
    state: str


class Row(NamedTuple):
    """An address, without its version and its row time."""

    state: str
    soft: int
    hard: bool
    reason: str | None
    since: datetime | None
    event_id: str | None


BLANK = Row("ok", 0, False, None, None, None)


@dataclass(frozen=True)
class State:
    """Everything that has to be the same in whatever way it came to be."""

    addresses: dict[str, Row]
    mails: dict[str, tuple[Any, ...]]
    reports: dict[tuple[str, str], tuple[Any, ...]]


def plant(engine: Engine, holds: Mapping[str, str] | None = None, words: Iterable[Word] = ()) -> None:
    """Holds of runs, and marks, as the command line and the console write them."""
    with engine.begin() as connection:
        for run_id, state in (holds or {}).items():
            connection.execute(insert(hold).values(run_id=run_id, state=state, held_at=T0))
        for word in words:
            row = {"recipient": word.recipient, "made_at": word.made_at, "state": word.state}
            connection.execute(insert(mark).values(**row, why="a test", who="tester"))


def expected(
    verdicts: Sequence[VerdictMessage],
    holds: Mapping[str, str] | None = None,
    words: Sequence[Word] = (),
    *,
    limit: int = 5,
    now: datetime | None = None,
) -> State:
    """The state by the definition, from all deliveries at once. Times after `now` are `now`."""
    now = now or datetime.now(UTC)
    copies: dict[str, list[VerdictMessage]] = defaultdict(list)
    for one in verdicts:
        copies[one["raw_id"]].append(one)
    mails: dict[str, tuple[Any, ...]] = {}
    reports: dict[tuple[str, str], tuple[Any, ...]] = {}
    facts: dict[str, dict[str, list[tuple[int, datetime, str, str | None]]]] = defaultdict(lambda: defaultdict(list))
    for raw_id, group in copies.items():
        newest = max(group, key=lambda one: (one["classifier_version"], one["judged_at"]))
        received_at = min(now, *(one["received_at"] for one in group))
        mails[raw_id] = (received_at, newest["kind"], newest["verdict"], newest["classifier_version"])
        counts = any(holds is None or holds.get(one["run_id"] or "") not in ("held", "dropped") for one in group)
        worst: dict[str, tuple[Any, ...]] = {}
        for said in newest["outcomes"]:
            recipient = said["recipient"] or ""
            rank = (_class(said), said["event_id"], said["rule"], said["evidence"])
            if recipient not in worst or rank > worst[recipient][:4]:
                worst[recipient] = (*rank, said["reason"])
        for recipient, (severity, event_id, _, _, reason) in worst.items():
            reports[raw_id, recipient] = (ORDER[severity], event_id, reason)
            if recipient and counts:
                # A complaint about a send is no report that it failed.
                event = event_id if severity else f"complaint about {event_id}"
                facts[recipient][event].append((severity, received_at, raw_id, reason))
    everyone = {recipient for _, recipient in reports if recipient} | {word.recipient for word in words}
    addresses = {one: _stand(facts[one], [w for w in words if w.recipient == one], limit) for one in everyone}
    return State({one: row for one, row in addresses.items() if row != BLANK}, mails, reports)


def _class(said: Outcome) -> int:
    is_delay = said["verdict"] == "soft" and said["action"] == "delayed"
    return ORDER.index("delayed" if is_delay else said["verdict"])


def _stand(events: Mapping[str, list[tuple[int, datetime, str, str | None]]], words: Sequence[Word], limit: int) -> Row:
    released = [word.made_at for word in words if word.state == "released"]
    floor = max(released, default=datetime.min.replace(tzinfo=UTC))
    counted: list[tuple[datetime, str, int, str | None]] = []
    for event_id, said in events.items():
        top = max(severity for severity, *_ in said)
        when, _, reason = min((when, raw_id, reason) for severity, when, raw_id, reason in said if severity == top)
        if when > floor:
            counted.append((when, event_id, top, reason))
    counted.sort(key=lambda event: event[:2])
    softs = [event for event in counted if event[2] == ORDER.index("soft")]
    hards = [event for event in counted if event[2] == ORDER.index("hard")]
    last = max(words, key=lambda word: word.made_at, default=None)
    if last is not None and last.state == "suppressed":
        return Row("suppressed", len(softs), bool(hards), "suppressed-by-hand", last.made_at, None)
    deciding = sorted(hards[:1] + softs[limit - 1 : limit], key=lambda event: event[:2])
    if not deciding:
        return Row("ok", len(softs), False, None, None, None)
    when, event_id, _, reason = deciding[0]
    return Row("bounced", len(softs), bool(hards), reason, when, event_id)


def stored(engine: Engine) -> State:
    """What the tables hold, without versions, row times, and addresses that stand as if never met."""
    with engine.connect() as connection:
        addresses = {
            row.recipient: Row(row.state, row.soft, row.hard, row.reason, row.since, row.event_id)
            for row in connection.execute(select(address))
        }
        mails = {
            row.raw_id: (row.received_at, row.kind, row.verdict, row.classifier_version)
            for row in connection.execute(select(raw))
        }
        reports = {
            (row.raw_id, row.recipient): (ORDER[row.severity + 1], row.event_id, row.reason)
            for row in connection.execute(select(report))
        }
    return State({one: row for one, row in addresses.items() if row != BLANK}, mails, reports)


def standing(engine: Engine, recipient: str) -> Row:
    return stored(engine).addresses.get(recipient, BLANK)
