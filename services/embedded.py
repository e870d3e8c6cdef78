"""The whole pipeline in this process: the services' own handlers on a bus that needs no server."""

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Self

from sqlalchemy import Engine

from services.classifier import app as classifier
from services.classifier.sandbox import Sandbox
from services.fetcher.mailbox_files import Found
from services.ledger import app as ledger
from services.ledger.projection_redis import RedisProjection
from services.ledger.recorded_sql import SqlRecorded
from services.ledger.tallies_sql import SqlTallies
from shared.bus import Message
from shared.contract import MessageVerdict
from shared.identity import raw_id
from shared.local_bus import LocalBus
from shared.topology import RELEASED, SUPPRESSED
from shared.wire import raw_bounce_message, read_address_event

BATCH: Final = 200

_COUNTED_AS: Final = {
    MessageVerdict.HARD: "hard",
    MessageVerdict.SOFT: "soft",
    MessageVerdict.UNIDENTIFIED: "unidentified",
    MessageVerdict.IGNORE: "ignored",
}


@dataclass(slots=True)
class Tally:
    """What a run found; every mail is in exactly one of the counts."""

    run_id: str
    counts: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    raw_ids: dict[str, str] = field(default_factory=dict)
    """By the name of each mail; kept only when a mailbox is to be cleaned afterwards."""

    @property
    def found(self) -> int:
        """The mails that could be read."""
        return self.counts.total()


class EmbeddedPipeline:
    """Classifier and ledger in one process. A context manager: the parser's process ends with it."""

    def __init__(
        self, engine: Engine, projection: RedisProjection | None = None, own_rules: Mapping[str, str] | None = None
    ) -> None:
        self.bus = LocalBus()
        self.newly_suppressed: set[str] = set()
        self._engine = engine
        self._projection = projection
        self._recorded = SqlRecorded(engine)
        self._sandbox = Sandbox(own_rules)
        classifier.subscribe(self.bus, self._sandbox, BATCH)
        self._verdicts = ledger.subscribe(self.bus, engine, projection)
        self.bus.listen(SUPPRESSED, self._on_suppressed)
        self.bus.listen(RELEASED, self._on_released)

    def __enter__(self) -> Self:
        ledger.keep_up(self._engine, self._projection, self._verdicts)
        self.newly_suppressed.clear()  # what was left behind, or done by hand before, is no find of this run
        return self

    def __exit__(self, *_: object) -> None:
        self._sandbox.close()

    def process(
        self,
        mails: Iterable[Found],
        *,
        list_id: str | None = None,
        keeps_names: bool = False,
        progress: Callable[[int], None] = lambda done: None,
    ) -> Tally:
        """Judge and record every mail, in the order given; `progress` is told how many more are done."""
        tally = Tally(uuid.uuid4().hex)
        stream = iter(mails)
        while batch := list(islice(stream, BATCH)):
            tally.errors += [mail.error for mail in batch if mail.error]
            readable = [mail for mail in batch if not mail.error]
            raw_ids = [raw_id(mail.raw) for mail in readable]
            known = self._recorded.delivered(raw_ids)
            self.bus.publish([self._message(mail, tally.run_id, list_id) for mail in readable])
            self._count(raw_ids, known, tally.counts)
            if keeps_names:
                tally.raw_ids.update({mail.name: one for mail, one in zip(readable, raw_ids, strict=True)})
            progress(len(batch))
        while SqlTallies(self._engine).recount():
            pass
        return tally

    def _count(self, raw_ids: Sequence[str], known: set[str], counts: Counter[str]) -> None:
        verdicts = self._recorded.verdicts(raw_ids)
        for one in raw_ids:
            if one in known:
                counts["duplicate"] += 1
            elif one in verdicts:
                counts[_COUNTED_AS[MessageVerdict(verdicts[one])]] += 1
                known.add(one)  # the next copy in this batch is a duplicate
            else:
                counts["dead_lettered"] += 1

    @staticmethod
    def _message(mail: Found, run_id: str, list_id: str | None) -> Message:
        return raw_bounce_message(
            mail.raw,
            received_at=mail.received_at,
            list_id=list_id,
            run_id=run_id,
            truncated=mail.truncated,
            source="process",
        )

    def _on_suppressed(self, message: Message) -> None:
        self.newly_suppressed.add(read_address_event(message)["recipient"])

    def _on_released(self, message: Message) -> None:
        self.newly_suppressed.discard(read_address_event(message)["recipient"])
