"""What stands behind the fetcher in these tests: a queue handler that keeps what arrives, and rows as the ledger writes them."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, insert, select

from shared.bus import Delivery, Rejection
from shared.identity import raw_id
from shared.local_bus import LocalBus
from shared.tables.ledger import archive, hold, raw
from shared.topology import CLASSIFIER_RAW
from shared.wire import read_raw_bounce

LONG_AGO = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass
class Ledger:
    """Subscribed in place of the classifier; records only when it is told to."""

    engine: Engine
    bus: LocalBus = field(default_factory=LocalBus)
    deliveries: list[Delivery] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bus.subscribe(CLASSIFIER_RAW.name, self._keep)

    def _keep(self, batch: Sequence[Delivery]) -> list[Rejection]:
        self.deliveries += batch
        return []

    @property
    def raws(self) -> list[bytes]:
        """The mails as they were published."""
        return [delivery.message.body for delivery in self.deliveries]

    @property
    def raw_ids(self) -> list[str]:
        return [raw_id(body) for body in self.raws]

    def record_arrived(self) -> None:
        """Judge every mail that arrived: those with "bounce" in their subject are hard, all others no bounce."""
        for delivery in self.deliveries:
            mail = read_raw_bounce(delivery.message)
            is_bounce = b"bounce" in mail["raw"].partition(b"\n\n")[0].splitlines()[0]
            kind, verdict = ("bounce", "hard") if is_bounce else ("not-bounce", "ignore")
            self.record([raw_id(mail["raw"])], kind, verdict, run_id=mail["run_id"] or "", truncated=mail["truncated"])

    def record(
        self, raw_ids: Iterable[str], kind: str, verdict: str, *, run_id: str = "", truncated: bool = False
    ) -> None:
        """Write raw and archive, as the ledger does; a mail that has its rows already keeps them."""
        with self.engine.begin() as connection:
            for name in raw_ids:
                if connection.execute(select(raw.c.raw_id).where(raw.c.raw_id == name)).first():
                    continue
                connection.execute(
                    insert(raw).values(
                        raw_id=name,
                        run_id=run_id,
                        received_at=LONG_AGO,
                        kind=kind,
                        verdict=verdict,
                        classifier_version=1,
                        judged_at=LONG_AGO,
                        truncated=truncated,
                    )
                )
                connection.execute(
                    insert(archive).values(
                        raw_id=name, archived_at=LONG_AGO, size_bytes=1, truncated=truncated, body=b""
                    )
                )

    def hold(self, run_id: str) -> None:
        """A person is to look at that run first."""
        with self.engine.begin() as connection:
            connection.execute(insert(hold).values(run_id=run_id, state="held", held_at=LONG_AGO))


@dataclass
class Clock:
    """A time that passes only while somebody waits; `meanwhile` is what happens then."""

    now: datetime = LONG_AGO
    meanwhile: list[object] = field(default_factory=list)
    is_stopping: bool = False
    waited_s: float = 0.0

    def __call__(self) -> datetime:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.now += timedelta(seconds=seconds)
        self.waited_s += seconds
        if seconds and self.meanwhile:
            happening = self.meanwhile.pop(0)
            assert callable(happening)
            happening()
        return self.is_stopping


def mail(number: int, *, subject: str = "bounce", size_bytes: int = 300) -> bytes:
    """A mail with line ends as POP3 and IMAP give them, different for every number."""
    head = f"Subject: {subject} {number}\r\nMessage-ID: <{number}@example.org>\r\n\r\n".encode()
    line = hashlib.sha256(str(number).encode()).hexdigest().encode() + b"\r\n"
    lines = max(1, (size_bytes - len(head)) // len(line))
    return head + line * lines + b".\r\n..dots\r\n"
