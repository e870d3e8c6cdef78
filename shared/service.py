"""What every service's process does alike: end on SIGTERM after the work in hand, and say plainly why it cannot start."""

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from shared.errors import ConfigurationError, Transient

HANGS: Final = 70
"""The exit status of a process whose work hung."""
_LOOK_EVERY_S: Final = 1.0

log = structlog.get_logger(__name__)


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set. To be called in the main thread."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop


@contextmanager
def repeating(name: str, work: Callable[[], None], every_s: float, stop: threading.Event) -> Iterator[None]:
    """The work, again and again in a thread of its own, beside what is done within; at its end `stop` is set.

    An unexpected error is logged, and the work goes on: without its thread it would never be done, and nobody would know.
    """

    def repeat() -> None:
        while not stop.is_set():
            try:
                work()
            except Exception:
                log.exception("work_failed", work=name)
            stop.wait(every_s)

    thread = threading.Thread(target=repeat, name=name)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def watched(stalled: Callable[[], str]) -> Iterator[None]:
    """While the block lasts, a process whose work hangs ends with the status HANGS: its supervisor starts another.

    `stalled` tells in words what hangs, '' when nothing does. What was in hand comes again; where every thread stood is said
    on standard error.
    """
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(_LOOK_EVERY_S):
            if hangs := stalled():
                log.critical("work_hangs", cause=hangs)
                faulthandler.dump_traceback(sys.__stderr__ or 2)
                os._exit(HANGS)  # threads that hang cannot be ended otherwise

    watcher = threading.Thread(target=watch, name="watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()


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
