"""One suite for the bus port, over both adapters: what a handler may rely on does not depend on what carries its messages."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from shared.broker import BrokerBus
from shared.bus import (
    FAILED_AT_HEADER,
    QUEUE_HEADER,
    REASON_HEADER,
    BatchLimits,
    Bus,
    Delivery,
    Message,
    Rejection,
    Unroutable,
)
from shared.errors import Permanent, Transient
from shared.local_bus import LocalBus
from shared.topology import (
    CLASSIFIER_RAW,
    DEFAULT_EXCHANGE,
    EXCHANGE,
    FETCH,
    FETCHER_REQUESTS,
    LEDGER_ARCHIVE,
    LEDGER_DEAD,
    LEDGER_VERDICTS,
    RAW,
    SUPPRESSED,
    VERDICT,
)
from tests.servers.waiting import eventually

SOON = BatchLimits(messages=10, quiet_s=0.1)


@pytest.fixture(params=["in this process", "on RabbitMQ"])
def bus(request: pytest.FixtureRequest) -> Iterator[Bus]:
    is_local = request.param == "in this process"
    bus = LocalBus() if is_local else BrokerBus(request.getfixturevalue("amqp_url"), patience_s=1.0)
    yield bus
    bus.close()


@contextmanager
def running(bus: Bus) -> Iterator[None]:
    """Consume in a thread; what ends the bus ends the test."""
    stop = threading.Event()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            bus.run(stop)
        except BaseException as exc:  # noqa: BLE001 (asserted below)
            errors.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()
    assert not errors


class Recorder:
    """A handler that takes everything; `before` may raise, or reject by returning a reason."""

    def __init__(self, before: Callable[[Message], str | None] = lambda message: None) -> None:
        self.batches: list[list[Message]] = []
        self.deliveries: list[Delivery] = []
        self._before = before

    def __call__(self, batch: Sequence[Delivery]) -> list[Rejection]:
        answers = [(delivery, self._before(delivery.message)) for delivery in batch]
        accepted = [delivery for delivery, reason in answers if reason is None]
        self.batches.append([delivery.message for delivery in accepted])
        self.deliveries += accepted
        return [Rejection(delivery, reason) for delivery, reason in answers if reason is not None]

    @property
    def bodies(self) -> list[bytes]:
        return [delivery.message.body for delivery in self.deliveries]


def request(body: bytes) -> Message:
    return Message(EXCHANGE, FETCH, body, "application/json")


def requests(count: int) -> list[Message]:
    return [request(b"%d" % number) for number in range(count)]


def publish_until_safe(bus: Bus, messages: Sequence[Message]) -> None:
    """As every publisher of ours does: what could not be had now is tried again, all of it."""

    def publish() -> bool:
        bus.publish(messages)
        return True

    eventually(publish, "a publish that succeeds", ignoring=(Transient,))


def test_a_message_arrives_as_it_was_sent(bus: Bus) -> None:
    message = Message(
        EXCHANGE,
        RAW,
        bytes(range(256)) * 10 + b"\r\n.\r\n",
        "message/rfc822",
        "mailroom.raw-bounce",
        {
            "list_id": "news",
            "schema_version": 1,
            "truncated": True,
            "ratio": 0.5,
            "big": 2**40,
            "text": "Grüße 🐈 \x00",
        },
        "publisher's own id",
        datetime(2026, 3, 3, 9, 14, 8, tzinfo=UTC),
    )
    classifier, archive = Recorder(), Recorder()
    bus.subscribe(CLASSIFIER_RAW.name, classifier, SOON)
    bus.subscribe(LEDGER_ARCHIVE.name, archive, SOON)
    with running(bus):
        bus.publish([message])
        eventually(lambda: classifier.deliveries and archive.deliveries)
    assert classifier.deliveries == [Delivery(message, CLASSIFIER_RAW.name)]
    assert archive.deliveries == [Delivery(message, LEDGER_ARCHIVE.name)]
    truncated = classifier.deliveries[0].message.headers["truncated"]
    assert truncated is True, "a boolean, not the number 1"


@pytest.mark.parametrize("body", [b"", b"\x00", b"x" * 1_000_000], ids=["empty", "NUL", "many frames"])
def test_any_body_arrives(bus: Bus, body: bytes) -> None:
    handler = Recorder()
    bus.subscribe(FETCHER_REQUESTS.name, handler, SOON)
    with running(bus):
        sent_at = datetime.now(UTC).replace(microsecond=0)
        bus.publish([Message(EXCHANGE, FETCH, body, "", timestamp=sent_at)])
        eventually(lambda: handler.deliveries)
    assert handler.deliveries == [
        Delivery(Message(EXCHANGE, FETCH, body, "", timestamp=sent_at), FETCHER_REQUESTS.name)
    ]


def test_messages_arrive_once_each_and_in_order(bus: Bus) -> None:
    handler = Recorder()
    bus.subscribe(FETCHER_REQUESTS.name, handler, BatchLimits(messages=70, quiet_s=0.1))
    with running(bus):
        bus.publish(message for message in requests(1234))
        eventually(lambda: len(handler.deliveries) >= 1234)
    assert handler.bodies == [b"%d" % number for number in range(1234)]


def test_publishing_nothing_is_nothing(bus: Bus) -> None:
    bus.publish([])


def test_a_message_reaches_only_its_own_queue(bus: Bus) -> None:
    verdicts, fetches = Recorder(), Recorder()
    bus.subscribe(LEDGER_VERDICTS.name, verdicts, SOON)
    bus.subscribe(FETCHER_REQUESTS.name, fetches, SOON)
    with running(bus):
        bus.publish([request(b"1"), Message(EXCHANGE, VERDICT, b"2", "application/json"), request(b"3")])
        eventually(lambda: len(verdicts.deliveries) + len(fetches.deliveries) == 3)
    assert verdicts.bodies == [b"2"]
    assert fetches.bodies == [b"1", b"3"]


class TestBatches:
    def test_are_closed_by_their_number(self, bus: Bus) -> None:
        handler = Recorder()
        bus.subscribe(FETCHER_REQUESTS.name, handler, BatchLimits(messages=10, quiet_s=2.0, longest_s=60.0))
        bus.publish(requests(25))
        with running(bus):
            eventually(lambda: len(handler.deliveries) == 25)
        assert [len(batch) for batch in handler.batches] == [10, 10, 5]

    def test_are_closed_by_their_size(self, bus: Bus) -> None:
        handler = Recorder()
        bus.subscribe(
            FETCHER_REQUESTS.name, handler, BatchLimits(messages=100, size_bytes=10_000, quiet_s=2.0, longest_s=60.0)
        )
        bus.publish([request(b"x" * 4_000) for _ in range(20)])
        with running(bus):
            eventually(lambda: len(handler.deliveries) == 20)
        assert max(sum(len(message.body) for message in batch) for batch in handler.batches) < 10_000 + 4_000

    def test_are_closed_by_quiet(self, bus: Bus) -> None:
        handler = Recorder()
        bus.subscribe(FETCHER_REQUESTS.name, handler, BatchLimits(messages=10, quiet_s=0.3))
        bus.publish(requests(3))
        with running(bus):
            eventually(lambda: handler.deliveries)
        assert [len(batch) for batch in handler.batches] == [3]

    def test_are_closed_by_age_while_a_trickle_goes_on(self, bus: Bus) -> None:
        handler = Recorder()
        bus.subscribe(FETCHER_REQUESTS.name, handler, BatchLimits(messages=10_000, quiet_s=3600.0, longest_s=0.3))

        def one_more_and_look() -> bool:
            bus.publish(requests(1))
            return bool(handler.deliveries)

        with running(bus):
            eventually(one_more_and_look)

    def test_are_closed_by_flush(self, bus: Bus) -> None:
        handler = Recorder()
        bus.subscribe(FETCHER_REQUESTS.name, handler, BatchLimits(messages=10, quiet_s=3600.0, longest_s=3600.0))

        def flushed() -> bool:
            bus.flush()
            return len(handler.deliveries) == 3

        with running(bus):
            bus.publish(requests(3))
            eventually(flushed)
        assert handler.bodies == [b"0", b"1", b"2"]


class TestWhatCannotBeHandled:
    @pytest.fixture
    def dead(self, bus: Bus) -> Recorder:
        recorder = Recorder()
        bus.subscribe(LEDGER_DEAD.name, recorder, SOON)
        return recorder

    def test_goes_to_the_dead_letters_with_its_reason_and_the_way_back(self, bus: Bus, dead: Recorder) -> None:
        sent = [
            Message(EXCHANGE, FETCH, b"%d" % number, "text/x", "t", {"list_id": "news", "n": number}, f"id-{number}")
            for number in range(5)
        ]
        handler = Recorder(lambda message: "it is\n the third" if message.body == b"2" else None)
        bus.subscribe(FETCHER_REQUESTS.name, handler, SOON)
        before = datetime.now(UTC)
        with running(bus):
            bus.publish(sent)
            eventually(lambda: len(handler.deliveries) == 4 and dead.deliveries)
        assert handler.bodies == [b"0", b"1", b"3", b"4"]
        (letter,) = [delivery.message for delivery in dead.deliveries]
        headers = dict(letter.headers)
        assert headers.pop(REASON_HEADER) == "it is the third"
        assert headers.pop(QUEUE_HEADER) == FETCHER_REQUESTS.name
        assert before <= datetime.fromisoformat(str(headers.pop(FAILED_AT_HEADER))) <= datetime.now(UTC)
        assert headers == sent[2].headers
        assert (letter.body, letter.content_type, letter.type) == (b"2", "text/x", "t")
        assert letter.message_id == "id-2"
        assert letter.routing_key == FETCHER_REQUESTS.name

    @pytest.mark.parametrize(
        ("error", "reason"),
        [(ValueError("a defect"), "unexpected ValueError: a defect"), (Permanent("unreadable"), "unreadable")],
        ids=["defect", "Permanent"],
    )
    def test_one_message_that_raises_costs_only_itself(
        self, bus: Bus, dead: Recorder, error: Exception, reason: str
    ) -> None:
        def raise_at_seven(message: Message) -> None:
            if message.body == b"7":
                raise error

        handler = Recorder(raise_at_seven)
        bus.subscribe(FETCHER_REQUESTS.name, handler, BatchLimits(messages=20, quiet_s=0.2))
        with running(bus):
            bus.publish(requests(20))
            eventually(lambda: len(handler.deliveries) >= 19 and dead.deliveries)
        assert sorted(handler.bodies, key=int) == [b"%d" % number for number in range(20) if number != 7]
        assert dead.bodies == [b"7"]
        assert dead.deliveries[0].message.headers[REASON_HEADER] == reason

    def test_a_server_that_is_away_costs_nothing(self, bus: Bus, dead: Recorder) -> None:
        failures = iter([Transient("the database is away")] * 3)

        def be_away(message: Message) -> str | None:
            if error := next(failures, None):
                raise error
            return "no request" if message.body == b"last" else None

        handler = Recorder(be_away)
        bus.subscribe(FETCHER_REQUESTS.name, handler, SOON)
        with running(bus):
            publish_until_safe(bus, requests(5))
            eventually(lambda: len(handler.deliveries) >= 5)
            bus.publish([request(b"last")])
            eventually(lambda: dead.deliveries)
        assert handler.bodies == [b"%d" % number for number in range(5)]
        assert dead.bodies == [b"last"], "only what was rejected, though the handler failed before"

    def test_a_dead_letter_that_cannot_be_filed_is_neither_lost_nor_renamed(self, bus: Bus) -> None:
        failures = iter([ValueError("a defect of the drainer")] * 2)

        def be_defect(_message: Message) -> None:
            if error := next(failures, None):
                raise error

        drainer = Recorder(be_defect)
        bus.subscribe(LEDGER_DEAD.name, drainer, SOON)
        bus.subscribe(FETCHER_REQUESTS.name, Recorder(lambda message: "no request"), SOON)
        with running(bus):
            publish_until_safe(bus, [request(b"1")])
            eventually(lambda: drainer.deliveries)
        (letter,) = [delivery.message for delivery in drainer.deliveries]
        assert letter.headers[REASON_HEADER] == "no request"
        assert letter.headers[QUEUE_HEADER] == letter.routing_key == FETCHER_REQUESTS.name

    def test_a_replay_reaches_the_queue_it_came_from_and_no_other(self, bus: Bus, dead: Recorder) -> None:
        is_mended = threading.Event()
        classifier = Recorder(lambda message: None if is_mended.is_set() else "not yet")
        archive = Recorder()
        bus.subscribe(CLASSIFIER_RAW.name, classifier, SOON)
        bus.subscribe(LEDGER_ARCHIVE.name, archive, SOON)
        with running(bus):
            bus.publish([Message(EXCHANGE, RAW, b"mail", "message/rfc822")])
            eventually(lambda: dead.deliveries and archive.deliveries)
            is_mended.set()
            queue = str(dead.deliveries[0].message.headers[QUEUE_HEADER])
            bus.publish([Message(DEFAULT_EXCHANGE, queue, b"mail", "message/rfc822")])
            eventually(lambda: classifier.deliveries)
        assert classifier.deliveries[0].queue == CLASSIFIER_RAW.name
        assert archive.bodies == [b"mail"], "once, by the first publish"
        assert dead.bodies == [b"mail"]


def test_a_handler_publishes_what_follows(bus: Bus) -> None:
    def judge(batch: Sequence[Delivery]) -> list[Rejection]:
        bus.publish([Message(EXCHANGE, VERDICT, b"of " + d.message.body, "application/json") for d in batch])
        return []

    verdicts = Recorder()
    bus.subscribe(CLASSIFIER_RAW.name, judge, BatchLimits(messages=7, quiet_s=0.1))
    bus.subscribe(LEDGER_ARCHIVE.name, Recorder(), SOON)
    bus.subscribe(LEDGER_VERDICTS.name, verdicts, SOON)
    with running(bus):
        bus.publish([Message(EXCHANGE, RAW, b"%d" % number, "message/rfc822") for number in range(40)])
        eventually(lambda: len(verdicts.deliveries) >= 40)
    assert verdicts.bodies == [b"of %d" % number for number in range(40)]


class TestNobodyListens:
    @pytest.mark.parametrize(
        ("exchange", "routing_key"),
        [(EXCHANGE, "nobody.listens"), (EXCHANGE, ""), (DEFAULT_EXCHANGE, "no.such.queue"), (DEFAULT_EXCHANGE, RAW)],
    )
    def test_a_mandatory_message_is_an_error(self, bus: Bus, exchange: str, routing_key: str) -> None:
        bus.subscribe(FETCHER_REQUESTS.name, Recorder(), SOON)
        with pytest.raises(Unroutable, match=r".+"):
            bus.publish([Message(exchange, routing_key, b"?", "text/plain")])

    def test_the_others_of_its_window_can_be_published_again(self, bus: Bus) -> None:
        handler = Recorder()
        bus.subscribe(FETCHER_REQUESTS.name, handler, SOON)
        with running(bus):
            with pytest.raises(Unroutable):
                bus.publish([request(b"1"), Message(EXCHANGE, "nobody.listens", b"?", "text/plain"), request(b"2")])
            bus.publish([request(b"1"), request(b"2")])
            eventually(lambda: handler.bodies[-2:] == [b"1", b"2"])

    def test_what_is_not_mandatory_may_go_to_nobody(self, bus: Bus) -> None:
        handler = Recorder()
        bus.subscribe(FETCHER_REQUESTS.name, handler, SOON)
        with running(bus):
            bus.publish([Message(EXCHANGE, SUPPRESSED, b"{}", "application/json", mandatory=False), request(b"1")])
            eventually(lambda: handler.deliveries)
        assert handler.bodies == [b"1"]


def test_a_published_message_is_safe() -> None:
    """In one process, safe means handled; on the broker it means confirmed, see the test below."""
    bus = LocalBus()
    committed: list[bytes] = []

    def commit(batch: Sequence[Delivery]) -> list[Rejection]:
        committed.extend(delivery.message.body for delivery in batch)
        return []

    bus.subscribe(FETCHER_REQUESTS.name, commit, BatchLimits(messages=2))
    bus.publish(requests(5))
    assert committed == [b"%d" % number for number in range(5)]


def test_a_server_that_is_away_is_told_to_the_local_publisher() -> None:
    def be_away(_batch: Sequence[Delivery]) -> list[Rejection]:
        raise Transient("the database is away")

    bus = LocalBus()
    bus.subscribe(FETCHER_REQUESTS.name, be_away)
    with pytest.raises(Transient, match="the database is away"):
        bus.publish([request(b"1")])


def test_a_confirmed_message_is_on_its_queue_before_anybody_consumes(amqp_url: str) -> None:
    publisher = BrokerBus(amqp_url)
    publisher.publish(requests(3))
    publisher.close()
    handler, bus = Recorder(), BrokerBus(amqp_url)
    bus.subscribe(FETCHER_REQUESTS.name, handler, SOON)
    with running(bus):
        eventually(lambda: len(handler.deliveries) == 3)
    bus.close()
    assert not any(delivery.redelivered for delivery in handler.deliveries)
