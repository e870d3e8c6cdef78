"""How many messages wait in each queue, as the broker tells it."""

from kombu import Connection
from kombu.exceptions import OperationalError

from shared.amqp import RECOVERABLE, close_connection, open_connection
from shared.bus import BrokerUnreachable
from shared.topology import QUEUES


def depths(amqp_url: str) -> dict[str, int] | None:
    """Messages that are ready, by queue; None while the broker is away. Takes nothing from a queue."""
    try:
        connection = open_connection(amqp_url)
    except BrokerUnreachable:
        return None
    try:
        return {queue.name: _depth(connection, queue.name) for queue in QUEUES}
    except (*RECOVERABLE, OperationalError):
        return None
    finally:
        close_connection(connection)


def _depth(connection: Connection, name: str) -> int:
    channel = connection.channel()
    try:
        return int(channel.queue_declare(queue=name, passive=True).message_count)
    finally:
        channel.close()
