"""The classifier's composition root: settings, the sandbox, and the queue of raw bounces."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from services.classifier.handler import RawBounceHandler
from services.classifier.own_rules import ReloadingSandbox
from services.classifier.ports import Judges
from shared import logs
from shared.broker import BrokerBus
from shared.bus import BatchLimits, Bus
from shared.environment import Environment
from shared.service import run_service, stop_on_signals, watched
from shared.sight import Place, read_place, showing
from shared.topology import CLASSIFIER_RAW


@dataclass(frozen=True, slots=True)
class Settings:
    """From the environment."""

    amqp_url: str
    batch: int
    metrics: Place | None
    log_level: str
    rules_dir: str

    @classmethod
    def from_env(cls, variables: Mapping[str, str]) -> Self:
        """Raises ConfigurationError that names every variable that is missing or wrong."""
        environment = Environment(variables)
        settings = cls(
            amqp_url=environment.text("MAILROOM_AMQP_URL"),
            batch=environment.integer("MAILROOM_CLASSIFIER_BATCH", 200, least=1),
            metrics=read_place(environment),
            log_level=environment.text("MAILROOM_LOG_LEVEL", "info"),
            rules_dir=environment.text("MAILROOM_RULES_DIR", ""),
        )
        environment.check()
        return settings


def subscribe(bus: Bus, judges: Judges, batch: int = 200) -> None:
    """Put the handler behind its queue, on whatever bus."""
    bus.subscribe(CLASSIFIER_RAW.name, RawBounceHandler(judges, bus), BatchLimits(batch))


def serve() -> None:
    """Run until told to stop."""
    settings = Settings.from_env(os.environ)
    logs.configure("classifier", settings.log_level)
    bus = BrokerBus(settings.amqp_url)
    sandbox = ReloadingSandbox(settings.rules_dir)
    subscribe(bus, sandbox, settings.batch)
    stop = stop_on_signals()
    try:
        with showing(settings.metrics, bus.checks, bus.stalled), watched(bus.stalled):
            bus.run(stop)
    finally:
        bus.close()
        sandbox.close()


def main() -> int:
    """The process's exit status."""
    return run_service("classifier", serve)
