"""What every service's process does alike: end on SIGTERM after the work in hand, and say plainly why it cannot start."""

import signal
import sys
import threading
from collections.abc import Callable

from shared.errors import ConfigurationError, Transient


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set. To be called in the main thread."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop


def run_service(name: str, serve: Callable[[], None]) -> int:
    """The exit status: 0 after a stop, 2 for a configuration to mend, 1 when a server that was there is not."""
    try:
        serve()
    except ConfigurationError as exc:
        print(f"mailroom {name}: {exc}", file=sys.stderr)
        return 2
    except Transient as exc:
        print(f"mailroom {name}: {exc}", file=sys.stderr)
        return 1
    return 0
