"""The wire as somebody else sees it: pika, a client that shares no code with ours, and the example for publishers."""

import base64
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

import shared.contract
from services.ledger.handler import read_dead_letter
from shared import wire
from shared.amqp import HEADERS_LIMIT_BYTES, open_connection
from shared.broker import BrokerBus
from shared.bus import BatchLimits, Delivery, Message, Rejection
from shared.contract import BODY_LIMIT_BYTES, JSON, RFC822
from shared.errors import Permanent
from shared.topology import CLASSIFIER_RAW, DEAD_EXCHANGE, EXCHANGE, LEDGER_DEAD, LEDGER_VERDICTS, QUEUES, RAW, Queue
from tests.servers.waiting import eventually

GOLDEN = Path(shared.contract.__file__).parent / "golden"
MAIL = (GOLDEN / "raw-bounce.v1.eml").read_bytes()
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "publish_with_pika.py"


@pytest.fixture
def topology_url(amqp_url: str) -> str:
    """A virtual host in which our exchanges and queues are declared."""
    open_connection(amqp_url).release()
    return amqp_url


@pytest.fixture
def channel(topology_url: str) -> Iterator[BlockingChannel]:
    """pika's view of it."""
    with closing(pika.BlockingConnection(pika.URLParameters(topology_url))) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel


def seen_by_pika(channel: BlockingChannel, queue: Queue) -> tuple[pika.BasicProperties, bytes]:
    _, properties, body = eventually(
        lambda: (got := channel.basic_get(queue.name, auto_ack=True))[0] and got, f"a message on {queue.name}"
    )
    properties.headers.pop("x-delivery-count", None)  # the broker's own
    return properties, body


def consumed(url: str, queue: Queue, count: int) -> list[Message]:
    """What our consumer makes of the messages that wait on the queue."""
    stop, messages = threading.Event(), list[Message]()

    def take(batch: Sequence[Delivery]) -> list[Rejection]:
        messages.extend(delivery.message for delivery in batch)
        if len(messages) >= count:
            stop.set()
        return []

    bus = BrokerBus(url, patience_s=2.0)
    bus.subscribe(queue.name, take, BatchLimits(messages=50, quiet_s=0.05))
    thread = threading.Thread(target=bus.run, args=(stop,))
    thread.start()
    try:
        assert stop.wait(30), f"{len(messages)} of {count} messages arrived"
    finally:
        stop.set()
        thread.join(30)
        bus.close()
    return messages


class TestWhatWePublish:
    def test_a_raw_bounce(self, topology_url: str, channel: BlockingChannel) -> None:
        message = wire.raw_bounce_message(
            MAIL,
            received_at=datetime(2026, 3, 3, 9, 14, 8, tzinfo=UTC),
            list_id="example-news",
            run_id="01JNDRE3Q5V9T8W2M4K6H7B0CX",
            account="bounces@lists.example.com",
            source="imap",
        )
        with closing(BrokerBus(topology_url)) as bus:
            bus.publish([message])
        properties, body = seen_by_pika(channel, CLASSIFIER_RAW)
        assert body == MAIL
        assert (properties.content_type, properties.type) == ("message/rfc822", "mailroom.raw-bounce")
        assert properties.delivery_mode == 2, "it outlives a restart"
        assert properties.headers == json.loads((GOLDEN / "raw-bounce.v1.headers.json").read_text())
        assert properties.headers["truncated"] is False
        assert properties.content_encoding is None, "the bytes are the mail, in no encoding"

    def test_a_verdict(self, topology_url: str, channel: BlockingChannel) -> None:
        golden = json.loads((GOLDEN / "verdict.v1.json").read_text())
        verdict = wire.read_verdict(Message("", "", json.dumps(golden).encode(), JSON))
        with closing(BrokerBus(topology_url)) as bus:
            bus.publish([wire.verdict_message(verdict)])
        properties, body = seen_by_pika(channel, LEDGER_VERDICTS)
        assert json.loads(body) == golden
        assert (properties.content_type, properties.type) == ("application/json", "mailroom.verdict")
        assert properties.delivery_mode == 2

    def test_properties_of_a_message(self, topology_url: str, channel: BlockingChannel) -> None:
        at = datetime(2026, 3, 3, 9, 14, 8, tzinfo=UTC)
        message = Message(EXCHANGE, RAW, b"x", RFC822, "t", {"n": 2**40, "none": None}, "an id", at)
        with closing(BrokerBus(topology_url)) as bus:
            bus.publish([message])
        properties, _ = seen_by_pika(channel, CLASSIFIER_RAW)
        assert properties.headers == {"n": 2**40}
        assert (properties.message_id, properties.timestamp) == ("an id", int(at.timestamp()))


class TestWhatOthersPublish:
    @pytest.mark.parametrize("form", ["the mail", "JSON"])
    def test_the_example_is_read(self, topology_url: str, channel: BlockingChannel, tmp_path: Path, form: str) -> None:
        mail = tmp_path / "bounce.eml"
        mail.write_bytes(MAIL)
        done = run_example(topology_url, str(mail), "--list", "news", *(["--json"] if form == "JSON" else []))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        (message,) = consumed(topology_url, CLASSIFIER_RAW, 1)
        assert message.content_type == (JSON if form == "JSON" else RFC822)
        bounce = wire.read_raw_bounce(message)
        assert (bounce["raw"], bounce["list_id"]) == (MAIL, "news")
        assert (bounce["run_id"], bounce["received_at"], bounce["truncated"]) == (None, None, False)

    def test_the_least_that_is_a_raw_bounce(self, topology_url: str, channel: BlockingChannel) -> None:
        channel.basic_publish(EXCHANGE, RAW, MAIL, pika.BasicProperties(content_type=RFC822), mandatory=True)
        (message,) = consumed(topology_url, CLASSIFIER_RAW, 1)
        assert wire.read_raw_bounce(message)["raw"] == MAIL

    def test_a_time_may_be_one_of_amqp(self, topology_url: str, channel: BlockingChannel) -> None:
        at = datetime(2026, 3, 3, 9, 14, 8, tzinfo=UTC)
        properties = pika.BasicProperties(
            content_type=RFC822, timestamp=int(at.timestamp()), headers={"received_at": at.replace(tzinfo=None)}
        )
        channel.basic_publish(EXCHANGE, RAW, MAIL, properties, mandatory=True)
        (message,) = consumed(topology_url, CLASSIFIER_RAW, 1)
        assert message.timestamp == at
        assert wire.read_raw_bounce(message)["received_at"] == at

    @pytest.mark.parametrize(
        ("body", "properties", "reason"),
        [
            (MAIL, {}, "content type is ''"),
            (MAIL, {"content_type": "text/plain"}, "content type is 'text/plain'; a raw bounce is message/rfc822"),
            (pickle.dumps({"raw": MAIL}), {"content_type": "application/x-python-serialize"}, "content type is"),
            (pickle.dumps({"raw": MAIL}), {"content_type": JSON}, "the body is not JSON"),
            (b"", {"content_type": RFC822}, "the body is empty"),
            (b"", {"content_type": JSON}, "the body is empty"),
            (MAIL, {"content_type": RFC822, "headers": {"schema_version": 2}}, "schema_version: Must be equal to 1"),
            (MAIL, {"content_type": RFC822, "type": "mailroom.verdict"}, "type is 'mailroom.verdict'"),
            (b'{"raw": "eA=="', {"content_type": JSON}, "the body is not JSON"),
            (b'{"raw": "e"}', {"content_type": JSON}, "raw: is not base64"),
            (b"x" * (BODY_LIMIT_BYTES + 1), {"content_type": RFC822}, "on the wire at most 1048576"),
            (b"x" * (4 * BODY_LIMIT_BYTES), {"content_type": JSON}, "the JSON has 4194304 bytes"),
            (MAIL, {"content_type": b"\xff\xfe"}, "the AMQP properties cannot be decoded: UnicodeDecodeError"),
            (MAIL, {"content_type": RFC822, "message_id": b"\xe9"}, "the AMQP properties cannot be decoded"),
            (MAIL, {"content_type": RFC822, "headers": {"t": datetime(9999, 1, 1)}}, None),
        ],
    )
    def test_what_cannot_be_read_says_why(
        self, topology_url: str, channel: BlockingChannel, body: bytes, properties: dict[str, Any], reason: str | None
    ) -> None:
        channel.basic_publish(EXCHANGE, RAW, body, pika.BasicProperties(**properties), mandatory=True)
        (message,) = consumed(topology_url, CLASSIFIER_RAW, 1)
        if reason is None:
            assert wire.read_raw_bounce(message)["raw"] == body
            return
        with pytest.raises(Permanent) as refused:
            wire.read_raw_bounce(message)
        assert reason in str(refused.value)
        assert len(str(refused.value).splitlines()) == 1

    def test_headers_of_any_type_do_no_harm(self, topology_url: str, channel: BlockingChannel) -> None:
        headers: dict[str, Any] = {
            "list_id": "news",
            "table": {"a": {"b": [1, None, b"\xff"]}},
            "list": [1, "two", {"three": 3}],
            "decimal": Decimal("12.50"),
            "time": datetime(2026, 3, 3, 9, 14, 8),
            "bytes": b"\xff\xfe\x00",
            "nothing": None,
            "true": True,
            "big": 2**60,
            "negative": -(2**60),
            "text": "\x00\u2028Grüße",
            "": "no name",
            "x-death": "not a list",
        }
        channel.basic_publish(EXCHANGE, RAW, MAIL, pika.BasicProperties(content_type=RFC822, headers=headers))
        (message,) = consumed(topology_url, CLASSIFIER_RAW, 1)
        bounce = wire.read_raw_bounce(message)
        assert (bounce["raw"], bounce["list_id"]) == (MAIL, "news")
        assert message.headers["big"] == 2**60
        assert message.headers["time"] == "2026-03-03T09:14:08+00:00"
        assert all(isinstance(value, str | int | bool | float) for value in message.headers.values())
        assert read_dead_letter(message, datetime.now(UTC)).queue

    @pytest.mark.parametrize(
        "table",
        [
            b"\x03t\xff\xfeS\x00\x00\x00\x01x",  # a name that is not UTF-8
            b"\x01tT\xff\xff\xff\xff\xff\xff\xff\xff",  # a time that no calendar has
            b"\x01tT\x00\x00\x00\xff\xff\xff\xff\xff",
        ],
        ids=["name", "time", "late time"],
    )
    def test_a_table_of_headers_that_no_library_would_write(
        self, topology_url: str, channel: BlockingChannel, table: bytes
    ) -> None:
        publish_with_table(channel, table)
        (message,) = consumed(topology_url, CLASSIFIER_RAW, 1)
        assert message.body == MAIL
        assert all(isinstance(name, str) for name in message.headers)
        json.dumps(dict(message.headers))

    def test_a_table_as_deep_as_a_frame_allows(self, topology_url: str, channel: BlockingChannel) -> None:
        table = b""
        for _ in range(3000):
            table = b"\x01aF" + len(table).to_bytes(4, "big") + table
        publish_with_table(channel, table)
        (message,) = consumed(topology_url, CLASSIFIER_RAW, 1)
        with pytest.raises(Permanent, match="the AMQP properties cannot be decoded: RecursionError"):
            wire.read_raw_bounce(message)

    def test_one_that_cannot_be_decoded_leaves_its_neighbours_alone(
        self, topology_url: str, channel: BlockingChannel
    ) -> None:
        for number in range(20):
            content_type = b"\xff" if number % 5 == 2 else RFC822
            body = b"" if number == 7 else b"%d" % number
            channel.basic_publish(EXCHANGE, RAW, body, pika.BasicProperties(content_type=content_type))
        messages = consumed(topology_url, CLASSIFIER_RAW, 20)
        assert [message.body for message in messages] == [b"" if n == 7 else b"%d" % n for n in range(20)]
        assert [message.content_type for message in messages] == ["" if n % 5 == 2 else RFC822 for n in range(20)]

    def test_a_frame_full_of_headers_still_becomes_a_dead_letter(
        self, topology_url: str, channel: BlockingChannel
    ) -> None:
        """A dead letter has more headers than the message had, and a frame has a limit that ends the connection."""
        headers = {"list_id": "news"} | {f"x-{n}": "ä" * 2000 for n in range(31)} | {"account": "a"}
        channel.basic_publish(EXCHANGE, RAW, MAIL, pika.BasicProperties(content_type="text/x", headers=headers))
        stop = threading.Event()
        bus = BrokerBus(topology_url, patience_s=2.0)
        letters: list[Message] = []

        def reject(batch: Sequence[Delivery]) -> list[Rejection]:
            return [Rejection(delivery, "r" * 5000) for delivery in batch]

        def drain(batch: Sequence[Delivery]) -> list[Rejection]:
            letters.extend(delivery.message for delivery in batch)
            stop.set()
            return []

        bus.subscribe(CLASSIFIER_RAW.name, reject)
        bus.subscribe(LEDGER_DEAD.name, drain)
        thread = threading.Thread(target=bus.run, args=(stop,))
        thread.start()
        arrived = stop.wait(20)
        stop.set()
        thread.join(30)
        bus.close()
        assert arrived
        (letter,) = letters
        assert (letter.headers["list_id"], letter.headers["account"]) == ("news", "a")
        assert 16_000 < sum(len(str(value).encode()) for value in letter.headers.values()) < HEADERS_LIMIT_BYTES


class TestTheExample:
    @pytest.mark.parametrize("url", ["", "http://broker/", "amqp://broker:port/"])
    def test_without_an_address(self, tmp_path: Path, url: str) -> None:
        assert failure(run_example(url, example_mail(tmp_path)), 2).startswith("MAILROOM_AMQP_URL ")

    def test_without_a_broker(self, tmp_path: Path) -> None:
        done = run_example("amqp://guest:guest@127.0.0.1:1/", example_mail(tmp_path))
        assert "RabbitMQ did not take the bounce" in failure(done, 1)

    def test_without_a_mail(self, tmp_path: Path) -> None:
        done = run_example("amqp://127.0.0.1/", str(tmp_path / "missing.eml"))
        assert "missing.eml cannot be read: No such file" in failure(done, 2)

    def test_with_an_empty_mail(self, tmp_path: Path) -> None:
        mail = example_mail(tmp_path, b"")
        assert "has 0 bytes; Mailroom takes 1 to 1048576" in failure(run_example("amqp://127.0.0.1/", mail), 2)

    def test_where_mailroom_has_never_run(self, amqp_url: str, tmp_path: Path) -> None:
        done = run_example(amqp_url, example_mail(tmp_path))
        assert "RabbitMQ did not take the bounce" in failure(done, 1)

    def test_where_no_queue_takes_bounces(self, channel: BlockingChannel, topology_url: str, tmp_path: Path) -> None:
        for queue in QUEUES:
            channel.queue_delete(queue.name)
        assert "No queue takes bounces" in failure(run_example(topology_url, example_mail(tmp_path)), 1)


def example_mail(folder: Path, content: bytes = MAIL) -> str:
    path = folder / "bounce.eml"
    path.write_bytes(content)
    return str(path)


def run_example(url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAILROOM_")}
    return subprocess.run(
        [sys.executable, EXAMPLE, *arguments],
        env=environment | ({"MAILROOM_AMQP_URL": url} if url else {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def failure(done: "subprocess.CompletedProcess[str]", status: int) -> str:
    assert (done.returncode, done.stdout) == (status, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


class TestTheTopology:
    @pytest.mark.parametrize("queue", QUEUES, ids=[queue.name for queue in QUEUES])
    def test_a_queue_is_declared_as_the_table_says(self, channel: BlockingChannel, queue: Queue) -> None:
        """The broker compares every argument: the same ones are accepted, any other is a precondition that failed."""
        arguments: dict[str, Any] = {"x-queue-type": "quorum"}
        if queue is not LEDGER_DEAD:
            arguments |= {
                "x-dead-letter-exchange": "mailroom.dead",
                "x-dead-letter-routing-key": queue.name,
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
                "x-max-length-bytes": queue.max_length_bytes,
                "x-delivery-limit": 100,
            }
        elif broker_major(channel) >= 4:
            arguments["x-delivery-limit"] = -1
        channel.queue_declare(queue.name, durable=True, arguments=arguments)
        for name in arguments:
            if name == "x-queue-type" and len(arguments) > 1:
                continue  # a classic queue with these arguments is refused for another reason
            other = channel.connection.channel()
            fewer = {key: value for key, value in arguments.items() if key != name}
            with pytest.raises(ChannelClosedByBroker, match="PRECONDITION_FAILED"):
                other.queue_declare(queue.name, durable=True, arguments=fewer)

    @pytest.mark.parametrize(("name", "kind"), [("mailroom", "topic"), ("mailroom.dead", "fanout")])
    def test_an_exchange_is_declared_as_the_table_says(self, channel: BlockingChannel, name: str, kind: str) -> None:
        channel.exchange_declare(name, kind, durable=True)
        with pytest.raises(ChannelClosedByBroker, match="PRECONDITION_FAILED"):
            channel.exchange_declare(name, "direct", durable=True)

    def test_a_queue_gets_what_it_is_bound_to(self, channel: BlockingChannel) -> None:
        for queue in QUEUES:
            channel.basic_publish(queue.exchange, queue.routing_key or "any.key", queue.name.encode(), mandatory=True)
        for queue in QUEUES:
            bodies = {seen_by_pika(channel, queue)[1] for _ in range(2 if queue.routing_key == RAW else 1)}
            assert queue.name.encode() in bodies

    def test_whatever_its_key_a_letter_reaches_the_dead_letters(self, channel: BlockingChannel) -> None:
        channel.basic_publish(DEAD_EXCHANGE, "any.key.at.all", b"x", mandatory=True)
        assert seen_by_pika(channel, LEDGER_DEAD)[1] == b"x"


def broker_major(channel: BlockingChannel) -> int:
    properties = channel.connection._impl.server_properties
    return int(str(properties["version"]).split(".")[0])


def publish_with_table(channel: BlockingChannel, table: bytes) -> None:
    """As pika would, but with a table of headers that is these bytes."""

    class Table(dict[str, Any]):
        pass

    class Properties(pika.BasicProperties):  # type: ignore[misc]
        def encode(self) -> list[bytes]:
            content_type = RFC822.encode()
            flags = self.FLAG_CONTENT_TYPE | self.FLAG_HEADERS
            return [
                flags.to_bytes(2, "big"),
                bytes([len(content_type)]) + content_type,
                len(table).to_bytes(4, "big") + table,
            ]

    channel.basic_publish(EXCHANGE, RAW, MAIL, Properties(), mandatory=True)


def test_base64_of_the_golden_mail_is_what_any_encoder_gives() -> None:
    golden = json.loads((GOLDEN / "raw-bounce.v1.json").read_text())
    assert golden["raw"] == base64.b64encode(MAIL).decode()
