"""Our consumers and publishers on a RabbitMQ that dies, hangs, loses queues and refuses messages. Nothing may be lost."""

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pika
import pytest

from services.ledger.handler import read_dead_letter
from shared.amqp import open_connection
from shared.broker import BrokerBus
from shared.bus import BatchLimits, BrokerUnreachable, Bus, Delivery, Message, Rejection, Unroutable
from shared.errors import ConfigurationError, Transient
from shared.service import HANGS
from shared.topology import CLASSIFIER_RAW, EXCHANGE, FETCH, FETCHER_REQUESTS, LEDGER_DEAD, RAW
from tests.servers.rabbitmq import RabbitMQServer
from tests.servers.waiting import eventually

SOON = BatchLimits(messages=20, quiet_s=0.05)
HEARTBEAT_S = 2


@contextmanager
def running(bus: Bus) -> Iterator[threading.Event]:
    """Consume in a thread, until the event is set or the block ends; what ends the bus otherwise fails the test."""
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
        yield stop
    finally:
        stop.set()
        thread.join(60)
        bus.close()
    assert not thread.is_alive()
    assert not errors


class Recorder:
    """Remembers every delivery; `before` may raise or wait."""

    def __init__(self, before: Callable[[Sequence[Delivery]], None] = lambda batch: None) -> None:
        self.deliveries: list[Delivery] = []
        self._before = before

    def __call__(self, batch: Sequence[Delivery]) -> list[Rejection]:
        self._before(batch)
        self.deliveries += batch
        return []

    @property
    def bodies(self) -> list[bytes]:
        return [delivery.message.body for delivery in self.deliveries]


def request(body: bytes) -> Message:
    return Message(EXCHANGE, FETCH, body, "text/plain")


def requests(count: int, first: int = 0) -> list[Message]:
    return [request(b"%d" % number) for number in range(first, first + count)]


def bodies(count: int) -> set[bytes]:
    return {b"%d" % number for number in range(count)}


def read_all(url: str, queue: str = FETCHER_REQUESTS.name, until: bytes = b"the end") -> list[Delivery]:
    """Everything that waits on the queue: a last message is sent after it, and nothing is proved by counts."""
    recorder = Recorder()
    bus = BrokerBus(url)
    bus.subscribe(queue, recorder, BatchLimits(messages=500, quiet_s=0.05))
    with running(bus):
        bus.publish([Message("", queue, until, "text/plain")])
        eventually(lambda: until in recorder.bodies)
    return [delivery for delivery in recorder.deliveries if delivery.message.body != until]


@pytest.mark.stops_server
class TestABrokerThatDies:
    def test_a_consumer_goes_on_when_it_is_back(self, rabbitmq: RabbitMQServer, amqp_url: str) -> None:
        is_held, may_go_on = threading.Event(), threading.Event()

        def hold(batch: Sequence[Delivery]) -> None:
            if any(delivery.message.body == b"150" for delivery in batch):
                is_held.set()
                assert may_go_on.wait(60)

        handler, letters = Recorder(hold), Recorder()
        bus = BrokerBus(amqp_url)
        bus.subscribe(FETCHER_REQUESTS.name, handler, SOON)
        bus.subscribe(LEDGER_DEAD.name, letters, SOON)
        with running(bus):
            bus.publish(requests(300))
            assert is_held.wait(30)
            rabbitmq.kill()
            may_go_on.set()
            eventually(lambda: not bus.is_consuming)
            rabbitmq.restart()
            bus.publish(requests(100, 300))
            eventually(lambda: set(handler.bodies) == bodies(400))
            eventually(lambda: bus.is_consuming)
        assert read_all(amqp_url) == []
        assert letters.deliveries == []
        assert max(Counter(handler.bodies).values()) <= 2

    def test_a_publisher_publishes_again_what_was_not_confirmed(self, rabbitmq: RabbitMQServer, amqp_url: str) -> None:
        bus = BrokerBus(amqp_url, patience_s=60.0)
        is_under_way = threading.Event()
        errors: list[Exception] = []

        def many() -> Iterator[Message]:
            for number in range(6000):
                if number == 3000:
                    is_under_way.set()
                yield request(b"%d" % number)

        def publish() -> None:
            try:
                bus.publish(many())
            except Exception as exc:  # noqa: BLE001 (asserted below)
                errors.append(exc)

        thread = threading.Thread(target=publish)
        thread.start()
        assert is_under_way.wait(30)
        rabbitmq.kill()
        rabbitmq.restart()
        thread.join(90)
        bus.close()
        assert not thread.is_alive()
        assert not errors
        assert {delivery.message.body for delivery in read_all(amqp_url)} == bodies(6000)

    def test_a_publisher_hears_of_it_in_time(self, rabbitmq: RabbitMQServer, amqp_url: str) -> None:
        bus = BrokerBus(amqp_url, patience_s=0.5)
        bus.publish([request(b"0")])
        rabbitmq.kill()
        try:
            with pytest.raises(BrokerUnreachable, match=f"RabbitMQ at 127.0.0.1:{rabbitmq.port} does not answer: "):
                bus.publish([request(b"lost")])
        finally:
            rabbitmq.restart()
        bus.publish([request(b"1")])
        bus.close()
        assert {b"0", b"1"} <= {delivery.message.body for delivery in read_all(amqp_url)}


@pytest.mark.stops_server
class TestABrokerThatHangs:
    def test_a_consumer_notices_and_goes_on(self, rabbitmq: RabbitMQServer, amqp_url: str) -> None:
        handler = Recorder()
        bus = BrokerBus(amqp_url, heartbeat_s=HEARTBEAT_S)
        bus.subscribe(FETCHER_REQUESTS.name, handler, SOON)
        with running(bus):
            bus.publish(requests(50))
            eventually(lambda: set(handler.bodies) == bodies(50))
            rabbitmq.freeze()
            try:
                eventually(lambda: not bus.is_consuming, "missed heartbeats", timeout_s=5 * HEARTBEAT_S)
            finally:
                rabbitmq.thaw()
            bus.publish(requests(50, 50))
            eventually(lambda: set(handler.bodies) == bodies(100))
        assert read_all(amqp_url) == []

    def test_a_publisher_notices_and_publishes_again(self, rabbitmq: RabbitMQServer, amqp_url: str) -> None:
        bus = BrokerBus(amqp_url, patience_s=1.0, heartbeat_s=HEARTBEAT_S)
        bus.publish([request(b"0")])
        rabbitmq.freeze()
        try:
            with pytest.raises(BrokerUnreachable):
                bus.publish([request(b"1")])
        finally:
            rabbitmq.thaw()
        bus.publish([request(b"1")])
        bus.close()
        assert {delivery.message.body for delivery in read_all(amqp_url)} == bodies(2)

    def test_closing_does_not_wait_for_it_for_ever(self, rabbitmq: RabbitMQServer, amqp_url: str) -> None:
        bus = BrokerBus(amqp_url, patience_s=1.0, heartbeat_s=HEARTBEAT_S)
        bus.publish([request(b"0")])
        rabbitmq.freeze()
        began = time.monotonic()
        try:
            bus.close()
        finally:
            rabbitmq.thaw()
        assert time.monotonic() - began < 10


class TestQueuesThatGoAway:
    def test_a_deleted_queue_is_declared_again_and_consumed(self, amqp_url: str) -> None:
        handler = Recorder()
        bus = BrokerBus(amqp_url)
        bus.subscribe(FETCHER_REQUESTS.name, handler, SOON)
        with running(bus):
            bus.publish([request(b"0")])
            eventually(lambda: handler.bodies == [b"0"])
            delete_queue(amqp_url, FETCHER_REQUESTS.name)
            # A mandatory message that nobody took in between is published again by the publisher itself.
            bus.publish([request(b"1")])
            eventually(lambda: handler.bodies == [b"0", b"1"])
            assert bus.is_consuming

    def test_a_publisher_declares_it_too(self, amqp_url: str) -> None:
        with closing(BrokerBus(amqp_url)) as bus:
            bus.publish([request(b"0")])
            delete_queue(amqp_url, FETCHER_REQUESTS.name)
            bus.publish([request(b"1")])
        assert [delivery.message.body for delivery in read_all(amqp_url)] == [b"1"]

    def test_a_queue_with_other_arguments_is_told_to_a_person(self, amqp_url: str) -> None:
        with closing(pika.BlockingConnection(pika.URLParameters(amqp_url))) as connection:
            connection.channel().queue_declare(FETCHER_REQUESTS.name, durable=True)
        with (
            closing(BrokerBus(amqp_url)) as bus,
            pytest.raises(ConfigurationError, match=r"of ours with other arguments.*delete it"),
        ):
            bus.publish([request(b"0")])

    def test_a_wrong_password_is_told_to_a_person(self, amqp_url: str) -> None:
        wrong = amqp_url.replace("//guest:guest@", "//guest:secret@")
        with closing(BrokerBus(wrong)) as bus, pytest.raises(ConfigurationError, match="refused the login") as refused:
            bus.publish([request(b"0")])
        assert "secret" not in str(refused.value)


class TestAServerBehindTheHandlerThatIsAway:
    def test_the_batch_is_given_back_once_and_consumed_when_it_is_there(self, amqp_url: str) -> None:
        is_there = threading.Event()
        tries: list[float] = []

        def need_it(_batch: Sequence[Delivery]) -> None:
            if not is_there.is_set():
                tries.append(time.monotonic())
                raise Transient("the database is away")

        asked = threading.Semaphore(0)

        def is_ready() -> bool:
            asked.release()
            return is_there.is_set() or not tries  # there at first

        handler, letters = Recorder(need_it), Recorder()
        bus = BrokerBus(amqp_url, give_back_after_s=1.0)
        bus.subscribe(FETCHER_REQUESTS.name, handler, SOON, is_ready)
        bus.subscribe(LEDGER_DEAD.name, letters, SOON)
        with running(bus):
            eventually(lambda: bus.is_consuming, "both queues to be consumed")
            bus.publish(requests(100))
            eventually(lambda: tries and not bus.is_consuming, "the batch to be given back")
            tries_before = len(tries)
            for _ in range(3):
                assert asked.acquire(timeout=10), "it asks whether the server is back"
            assert len(tries) == tries_before, "nothing is consumed meanwhile"
            is_there.set()
            eventually(lambda: set(handler.bodies) == bodies(100))
        assert Counter(handler.bodies).most_common(1)[0][1] == 1
        assert tries_before > 1, "it was tried again before it was given back"
        assert letters.deliveries == []

    def test_a_handler_that_is_never_ready_is_never_fed(self, amqp_url: str) -> None:
        handler, other = Recorder(), Recorder()
        bus = BrokerBus(amqp_url)
        bus.subscribe(FETCHER_REQUESTS.name, handler, SOON, lambda: False)
        bus.subscribe(LEDGER_DEAD.name, other, SOON)
        bus.publish([request(b"0"), Message("", LEDGER_DEAD.name, b"x", "text/plain")])
        with running(bus):
            eventually(lambda: other.deliveries)
            assert not bus.is_consuming
        assert handler.deliveries == []
        (waiting,) = read_all(amqp_url)
        assert not waiting.redelivered

    def test_a_configuration_to_mend_ends_the_bus_and_costs_no_message(self, amqp_url: str) -> None:
        def refuse(_batch: Sequence[Delivery]) -> list[Rejection]:
            raise ConfigurationError("the schema is old")

        bus = BrokerBus(amqp_url)
        bus.subscribe(FETCHER_REQUESTS.name, refuse, SOON)
        bus.publish(requests(5))
        with closing(bus), pytest.raises(ConfigurationError, match="the schema is old"):
            bus.run(threading.Event())
        assert {delivery.message.body for delivery in read_all(amqp_url)} == bodies(5)
        assert read_all(amqp_url, LEDGER_DEAD.name) == []


class TestStopping:
    def test_acks_what_was_done_and_leaves_the_rest(self, amqp_url: str) -> None:
        with closing(BrokerBus(amqp_url)) as publisher:
            publisher.publish(requests(2000))
        bus = BrokerBus(amqp_url)
        stop = threading.Event()

        def stop_midway(batch: Sequence[Delivery]) -> None:
            if any(delivery.message.body == b"777" for delivery in batch):
                stop.set()

        handler = Recorder(stop_midway)
        bus.subscribe(FETCHER_REQUESTS.name, handler, BatchLimits(messages=50, quiet_s=0.05))
        bus.run(stop)
        bus.close()
        done = handler.bodies
        assert 778 <= len(done) < 2000
        left = [delivery.message.body for delivery in read_all(amqp_url)]
        assert sorted(done + left, key=int) == [b"%d" % number for number in range(2000)], "each exactly once"

    def test_waits_for_a_handler_that_takes_longer_than_the_broker_may_be_silent(self, amqp_url: str) -> None:
        stop = threading.Event()
        began = 0.0

        def take_long(_batch: Sequence[Delivery]) -> None:
            nonlocal began
            began = time.monotonic()
            stop.set()
            eventually(lambda: time.monotonic() - began > 4, timeout_s=10)

        handler = Recorder(take_long)
        bus = BrokerBus(amqp_url, heartbeat_s=1)
        bus.subscribe(FETCHER_REQUESTS.name, handler, SOON)
        bus.publish([request(b"0")])
        bus.run(stop)
        bus.close()
        assert handler.bodies == [b"0"]
        assert read_all(amqp_url) == [], "its ack arrived"

    def test_does_not_wait_for_a_server_that_is_away(self, amqp_url: str) -> None:
        stop = threading.Event()

        def be_away(_batch: Sequence[Delivery]) -> None:
            stop.set()
            raise Transient("the database is away")

        bus = BrokerBus(amqp_url)
        bus.subscribe(FETCHER_REQUESTS.name, Recorder(be_away), SOON)
        bus.publish(requests(5))
        began = time.monotonic()
        bus.run(stop)
        bus.close()
        assert time.monotonic() - began < 10
        assert {delivery.message.body for delivery in read_all(amqp_url)} == bodies(5)


class TestASlowHandler:
    def test_keeps_its_connection(self, amqp_url: str) -> None:
        def take_long(batch: Sequence[Delivery]) -> None:
            if batch[0].message.body == b"0":
                began = time.monotonic()
                eventually(lambda: time.monotonic() - began > 4, timeout_s=10)

        handler = Recorder(take_long)
        bus = BrokerBus(amqp_url, heartbeat_s=1)
        bus.subscribe(FETCHER_REQUESTS.name, handler, SOON)
        with running(bus):
            bus.publish(requests(40))
            eventually(lambda: len(handler.deliveries) >= 40)
        assert Counter(handler.bodies).most_common(1)[0][1] == 1
        assert not any(delivery.redelivered for delivery in handler.deliveries)
        assert read_all(amqp_url) == []


class TestSeveralBatchesAtOnce:
    """The first batch is held until the second is done."""

    @pytest.fixture
    def stop(self) -> threading.Event:
        return threading.Event()

    def two(self, amqp_url: str, at_the_end: Callable[[], None]) -> Recorder:
        second_is_done = threading.Event()

        def hold(batch: Sequence[Delivery]) -> None:
            if batch[0].message.body == b"0":
                assert second_is_done.wait(30)
                at_the_end()
            else:
                second_is_done.set()

        handler = Recorder(hold)
        with closing(BrokerBus(amqp_url)) as publisher:
            publisher.publish(requests(40))
        self.bus = BrokerBus(amqp_url)
        self.bus.subscribe(FETCHER_REQUESTS.name, handler, BatchLimits(messages=20, in_work=2))
        return handler

    def test_are_acked_in_their_order(self, amqp_url: str, stop: threading.Event) -> None:
        handler = self.two(amqp_url, stop.set)
        with closing(self.bus):
            self.bus.run(stop)
        assert Counter(handler.bodies) == Counter(bodies(40))
        assert read_all(amqp_url) == []

    def test_one_that_fails_is_never_acked_by_the_one_behind_it(self, amqp_url: str, stop: threading.Event) -> None:
        def be_away() -> None:
            stop.set()
            raise Transient("the database is away")

        handler = self.two(amqp_url, be_away)
        with closing(self.bus):
            self.bus.run(stop)
        assert len(handler.bodies) == 20
        assert {delivery.message.body for delivery in read_all(amqp_url)} == bodies(40)

    def test_one_that_fails_waits_for_the_ack_of_the_one_before_it(self, amqp_url: str, stop: threading.Event) -> None:
        second_has_failed = threading.Event()

        def fail_at_the_second(batch: Sequence[Delivery]) -> None:
            if batch[0].message.body != b"0":
                stop.set()
                second_has_failed.set()
                raise Transient("the database is away")
            assert second_has_failed.wait(30)

        with closing(BrokerBus(amqp_url)) as publisher:
            publisher.publish(requests(40))
        with closing(BrokerBus(amqp_url)) as bus:
            bus.subscribe(FETCHER_REQUESTS.name, Recorder(fail_at_the_second), BatchLimits(messages=20, in_work=2))
            bus.run(stop)
        assert {delivery.message.body for delivery in read_all(amqp_url)} == bodies(40) - bodies(20)


def test_a_full_queue_refuses_and_nothing_that_was_confirmed_is_lost(amqp_url: str) -> None:
    mebibyte = b"x" * 1024 * 1024
    bus = BrokerBus(amqp_url, patience_s=0.5)
    confirmed = 0

    def fill() -> None:
        nonlocal confirmed
        while confirmed < 200:
            bus.publish([request(b"%03d" % confirmed + mebibyte)])
            confirmed += 1

    with pytest.raises(Unroutable, match=r"for mailroom/mailbox\.fetch reached no queue, or a full one"):
        fill()
    assert 60 <= confirmed < 80, "the queue of requests holds 64 MiB"
    numbers: set[int] = set()

    def take(batch: Sequence[Delivery]) -> list[Rejection]:
        numbers.update(int(delivery.message.body[:3]) for delivery in batch)
        return []

    def publish_it_again() -> bool:
        bus.publish([request(b"999")])
        return True

    bus.subscribe(FETCHER_REQUESTS.name, take, SOON)
    with running(bus):
        eventually(publish_it_again, ignoring=(Unroutable,))
        eventually(lambda: 999 in numbers)
    assert set(range(confirmed)) <= numbers


@pytest.mark.parametrize("death", ["delivery limit", "time to live"])
def test_a_letter_of_the_broker_itself_says_where_and_why_it_died(amqp_url: str, death: str) -> None:
    open_connection(amqp_url).release()
    expiration = "1" if death == "time to live" else None
    with closing(pika.BlockingConnection(pika.URLParameters(amqp_url))) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        properties = pika.BasicProperties(
            content_type="message/rfc822", headers={"list_id": "news"}, message_id="id", expiration=expiration
        )
        channel.basic_publish(EXCHANGE, RAW, b"mail", properties, mandatory=True)
        if death == "delivery limit":
            for _ in range(101):
                method = eventually(lambda: channel.basic_get(CLASSIFIER_RAW.name)[0], "the mail, given back")
                channel.basic_nack(method.delivery_tag, requeue=True)
    letters = Recorder()
    bus = BrokerBus(amqp_url)
    bus.subscribe(LEDGER_DEAD.name, letters, SOON)
    with running(bus):
        eventually(lambda: [m for m in letters.deliveries if m.message.routing_key == CLASSIFIER_RAW.name])
    (message,) = [m.message for m in letters.deliveries if m.message.routing_key == CLASSIFIER_RAW.name]
    letter = read_dead_letter(message, datetime.now(UTC))
    reason = {"delivery limit": "delivery_limit", "time to live": "expired"}[death]
    assert letter.reason == f"the broker gave up on it: {reason} in classifier.raw"
    assert (letter.queue, letter.body, letter.message_id) == ("classifier.raw", b"mail", "id")
    assert letter.headers == '{"list_id": "news"}', "the counters of the broker are not the message's"


def delete_queue(url: str, name: str) -> None:
    with closing(pika.BlockingConnection(pika.URLParameters(url))) as connection:
        connection.channel().queue_delete(name)


class TestAHandlerThatHangs:
    def test_its_process_ends_and_another_handles_what_it_had(self, amqp_url: str) -> None:
        with closing(BrokerBus(amqp_url)) as bus:
            bus.publish([request(b"before"), request(b"hang"), request(b"behind")])
        with subprocess.Popen(
            [sys.executable, Path(__file__).with_name("hanging.py"), amqp_url, "1"], stderr=subprocess.PIPE, text=True
        ) as service:
            _, said = service.communicate(timeout=30)
        assert service.returncode == HANGS
        assert f"what was taken from {FETCHER_REQUESTS.name} has not moved for" in said
        assert "in hang" in said, "where every thread stood"
        assert sorted(delivery.message.body for delivery in read_all(amqp_url)) == [b"behind", b"hang"]

    def test_one_that_waits_for_a_server_by_name_does_not_hang(self, amqp_url: str) -> None:
        is_back = threading.Event()

        def wait_for_it(batch: Sequence[Delivery]) -> None:
            if not is_back.is_set():
                raise Transient("the database is away")

        handler = Recorder(wait_for_it)
        bus = BrokerBus(amqp_url)
        bus.subscribe(FETCHER_REQUESTS.name, handler, replace(SOON, still_s=1.0))
        with running(bus):
            bus.publish([request(b"0")])
            began = time.monotonic()
            # tried again after 0.1, 0.2, 0.4 and 0.8 s: at most so long it does not move
            eventually(lambda: bus.stalled() or time.monotonic() > began + 2.5)
            assert bus.stalled() == ""
            is_back.set()
            eventually(lambda: handler.bodies == [b"0"])
