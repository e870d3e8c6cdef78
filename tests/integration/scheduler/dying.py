"""A scheduler in a process of its own, killed when the broker has confirmed and the database knows nothing of it."""

import os
import signal
from collections.abc import Iterable

from services.scheduler.scheduler import Scheduler
from services.scheduler.store_sql import SqlScheduleStore
from shared.bus import Message
from shared.publisher import ConfirmingPublisher
from shared.tables import connect


class DyingPublisher(ConfirmingPublisher):
    """Its process does not live to hear of its success."""

    def publish(self, messages: Iterable[Message]) -> None:
        super().publish(messages)
        os.kill(os.getpid(), signal.SIGKILL)


def ask_and_die(database_url: str, amqp_url: str) -> None:
    Scheduler(SqlScheduleStore(connect(database_url)), DyingPublisher(amqp_url)).ask()
