"""The broker for commands: a person is told when it does not answer, and a command does not die of it at once."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import click

from shared.broker import BrokerBus
from shared.bus import Message, Publisher
from shared.publisher import PATIENCE_S

SILENT_FOR_S: Final = 2.0


class _TellingPublisher:
    def __init__(self, bus: BrokerBus, where: str) -> None:
        self._bus = bus
        self._where = where

    def publish(self, messages: Iterable[Message]) -> None:
        """As the bus does; it is tried for a while."""
        said = f"waiting for RabbitMQ at {self._where} …"
        timer = threading.Timer(SILENT_FOR_S, click.echo, (said,), {"err": True})
        timer.daemon = True
        timer.start()
        try:
            self._bus.publish(messages)
        finally:
            timer.cancel()


@contextmanager
def open_publisher(url: str, patience_s: float = PATIENCE_S) -> Iterator[Publisher]:
    """Publishes to RabbitMQ, and says on standard error when that takes more than two seconds."""
    bus = BrokerBus(url, patience_s=patience_s)
    try:
        yield _TellingPublisher(bus, urlsplit(url).netloc.rpartition("@")[2])
    finally:
        bus.close()
