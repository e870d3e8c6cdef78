"""A connection to RabbitMQ through kombu, and the way between our messages and AMQP's."""

import contextlib
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import amqp
from amqp.method_framing import frame_handler
from amqp.serialization import decode_properties_basic
from kombu import Connection
from kombu.exceptions import KombuError

from shared.bus import UNREADABLE_HEADER, BrokerUnreachable, HeaderValue, Message
from shared.errors import ConfigurationError
from shared.topology import DEAD_EXCHANGE, EXCHANGES, QUEUES

HEARTBEAT_S: Final = 10
"""A side that hears nothing for two of these gives the connection up: a frozen broker is noticed within 30 s."""
CONNECT_TIMEOUT_S: Final = 10
IO_TIMEOUT_S: Final = 30
"""A frozen broker would hang a read or a write for ever; py-amqp has no limit of its own."""

GOODBYE_TIMEOUT_S: Final = 3

RECOVERABLE: Final = (amqp.AMQPError, KombuError, OSError)
"""What a lost, refused or broken connection or channel raises."""

HEADERS_LIMIT_BYTES: Final = 32 * 1024
"""A frame holds 128 KiB of headers, and a dead letter has some more than what it was; the largest are left out."""

_BROKER_HEADERS: Final = ("x-delivery-count", "x-acquired-count", "x-first-death-", "x-last-death-")
_PERSISTENT: Final = 2
_HEADER_FRAME: Final = 2
_PROPERTIES_AT: Final = 12
_FRAME_OVERHEAD: Final = 8
_READ_AHEAD_BYTES: Final = 64 * 1024


def open_connection(url: str, heartbeat_s: float = HEARTBEAT_S) -> Connection:
    """A connection that beats and times out, with every exchange and queue of the topology declared.

    Raises BrokerUnreachable when there is no broker, ConfigurationError when it refuses us for good.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("amqp", "amqps"):
        raise ConfigurationError(f"MAILROOM_AMQP_URL has to begin with amqp:// or amqps://, not {parts.scheme!r}")
    connection = Connection(
        url,
        heartbeat=heartbeat_s,
        connect_timeout=CONNECT_TIMEOUT_S,
        ssl={"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": parts.hostname} if parts.scheme == "amqps" else False,
        transport_options={
            "read_timeout": IO_TIMEOUT_S,
            "write_timeout": IO_TIMEOUT_S,
            "frame_handler": _tolerant_frame_handler,
        },
    )
    where = f"{parts.hostname}:{connection.port or 5672}"
    try:
        connection.connect()
        _read_ahead(connection)
        declare_topology(connection)
    except amqp.AccessRefused as exc:
        drop_connection(connection)
        raise ConfigurationError(f"RabbitMQ at {where} refused the login or a declaration: {exc}") from exc
    except amqp.PreconditionFailed as exc:
        drop_connection(connection)
        raise ConfigurationError(
            f"RabbitMQ at {where} has a queue or exchange of ours with other arguments: {exc}. "
            "Empty it, delete it, and start again"
        ) from exc
    except RECOVERABLE as exc:
        drop_connection(connection)
        raise BrokerUnreachable(f"RabbitMQ at {where} does not answer: {exc}") from exc
    return connection


class _ReadAhead:
    """What the socket has, taken at once: py-amqp asks it nine times for each message.

    Every call into the kernel lets go of the interpreter, which a busy handler then keeps for milliseconds.
    """

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive = receive
        self._ahead = memoryview(b"")

    def __call__(self, size_bytes: int) -> bytes:
        """At least one byte, at most so many; none once the other side has closed."""
        if not self._ahead:
            self._ahead = memoryview(self._receive(_READ_AHEAD_BYTES))
        taken, self._ahead = self._ahead[:size_bytes], self._ahead[size_bytes:]
        return bytes(taken)

    @property
    def holds_frame(self) -> bool:
        """Whether a whole frame is here: type, channel, size (4.2.3), payload, end."""
        return len(self._ahead) >= _FRAME_OVERHEAD and len(self._ahead) >= _FRAME_OVERHEAD + int.from_bytes(
            self._ahead[3:7], "big"
        )


def _read_ahead(connection: Connection) -> None:
    transport = connection.connection.transport
    transport._quick_recv = _ReadAhead(transport._quick_recv)


def drain(connection: Connection, timeout_s: float) -> None:
    """Deal with what arrives, all of it that is here already. Raises TimeoutError when nothing does, and RECOVERABLE."""
    connection.drain_events(timeout=timeout_s)
    transport = connection.connection.transport
    while transport is not None and transport._quick_recv.holds_frame:
        connection.connection.blocking_read()
        transport = connection.connection.transport


def close_connection(connection: Connection) -> None:
    """Say goodbye; a broker that does not answer is left."""
    with contextlib.suppress(*RECOVERABLE):
        if connection.connected:
            connection.connection.sock.settimeout(GOODBYE_TIMEOUT_S)
            connection.connection.close()
    drop_connection(connection)


def drop_connection(connection: Connection) -> None:
    """Let go of a connection that may be dead already, without a word to the other side."""
    with contextlib.suppress(*RECOVERABLE):
        connection.collect()


def declare_topology(connection: Connection) -> None:
    """Declare every exchange and queue; what is there already stays as it is."""
    version = str(connection.connection.server_properties.get("version", "3"))
    broker_major = int(version.split(".")[0])
    channel = connection.channel()
    for name, kind in EXCHANGES:
        channel.exchange_declare(name, kind, durable=True, auto_delete=False)
    for queue in QUEUES:
        channel.queue_declare(queue.name, durable=True, auto_delete=False, arguments=queue.arguments(broker_major))
        channel.queue_bind(queue.name, queue.exchange, queue.routing_key)
    channel.close()


def to_amqp(message: Message, sent_at: int) -> Any:
    """A persistent message of py-amqp. Where it has no time it gets that of sending (seconds of the epoch), which tells
    how long it has waited; a dead letter stays as it was.
    """
    properties: dict[str, Any] = {
        "content_type": message.content_type,
        "delivery_mode": _PERSISTENT,
        "application_headers": {name: value for name, value in message.headers.items() if value is not None},
    }
    if message.type:
        properties["type"] = message.type
    if message.message_id:
        properties["message_id"] = message.message_id
    if message.timestamp:
        properties["timestamp"] = int(message.timestamp.timestamp())
    elif message.exchange != DEAD_EXCHANGE:
        properties["timestamp"] = sent_at
    return amqp.Message(message.body, **properties)


def from_amqp(received: Any) -> Message:
    """What was delivered, with only such headers as are plain values (x-death is the broker's own business)."""
    properties: Mapping[str, Any] = received.properties
    body = received.body
    return Message(
        exchange=received.delivery_info["exchange"],
        routing_key=received.delivery_info["routing_key"],
        body=body.encode("utf-8", "surrogatepass") if isinstance(body, str) else bytes(body),
        content_type=str(properties.get("content_type", "")),
        type=str(properties.get("type", "")),
        headers=_plain(properties.get("application_headers") or {}),
        message_id=str(properties["message_id"])[:255] if properties.get("message_id") else None,
        timestamp=_instant(properties.get("timestamp")),
    )


def _plain(headers: Mapping[str, Any]) -> dict[str, HeaderValue]:
    plain: dict[str, HeaderValue] = {}
    for name, value in headers.items():
        if not isinstance(name, str) or name.startswith(_BROKER_HEADERS):
            continue
        if isinstance(value, datetime):  # an AMQP timestamp, which the contract has as RFC 3339
            plain[name] = value.replace(tzinfo=UTC).isoformat()
        elif isinstance(value, str | int | bool | float):
            plain[name] = value
        elif name == "x-death" and isinstance(value, list) and value and isinstance(value[0], dict):
            plain["x-mailroom-death"] = f"{value[0].get('reason', 'unknown')} in {value[0].get('queue', 'unknown')}"
    return _bounded(plain)


def _bounded(headers: dict[str, HeaderValue]) -> dict[str, HeaderValue]:
    sizes = {name: _size_bytes(name) + _size_bytes(value) for name, value in headers.items()}
    left_bytes = HEADERS_LIMIT_BYTES
    if sum(sizes.values()) <= left_bytes:
        return headers
    kept = set()
    for name in sorted(sizes, key=sizes.__getitem__):
        left_bytes -= sizes[name]
        if left_bytes < 0:
            break
        kept.add(name)
    return {name: value for name, value in headers.items() if name in kept}


def _size_bytes(value: HeaderValue) -> int:
    return len(value.encode("utf-8", "surrogatepass")) + 5 if isinstance(value, str) else 9


def _tolerant_frame_handler(connection: Any, callback: Callable[..., None]) -> Callable[[Any], bool]:
    """py-amqp's, except that a message whose properties cannot be decoded arrives without them.

    Otherwise one content type that is not UTF-8 would end every consumer it is delivered to, for ever.
    """
    handle = frame_handler(connection, callback)

    def on_frame(frame: Any) -> bool:
        try:
            return bool(handle(frame))
        except Exception as exc:
            kind, channel, payload = frame
            if kind != _HEADER_FRAME or _has_readable_properties(payload):
                raise
            # Nothing of the message has been taken in yet: the same frame can be handed in once more.
            cause = f"{type(exc).__name__}: {exc}"[:255]
            substitute = amqp.Message(b"", application_headers={UNREADABLE_HEADER: cause})
            return bool(handle((kind, channel, bytes(payload[:_PROPERTIES_AT]) + substitute._serialize_properties())))

    return on_frame


def _has_readable_properties(payload: Any) -> bool:
    try:
        decode_properties_basic(payload, _PROPERTIES_AT)
    except Exception:  # noqa: BLE001 (whatever the bytes of a stranger can provoke)
        return False
    return True


def _instant(seconds: Any) -> datetime | None:
    if isinstance(seconds, datetime):
        return seconds.replace(tzinfo=UTC)
    try:
        return datetime.fromtimestamp(int(seconds), UTC) if seconds else None
    except (ValueError, OverflowError, OSError, TypeError):
        return None
