"""Answering HTTP requests beside whatever else a process does."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import waitress
from waitress import wasyncore

from shared.errors import ConfigurationError


@contextmanager
def listening(application: Any, host: str, port: int, *, threads: int, largest_request_bytes: int) -> Iterator[int]:
    """Answers for a WSGI application, in threads of its own, on that port; port 0 is a free one.

    At the end the requests in work are finished. Raises ConfigurationError where nothing can listen.
    """
    try:
        server = waitress.create_server(
            application,
            host=host,
            port=port,
            threads=threads,
            max_request_body_size=largest_request_bytes,
            ident=None,
        )
    except OSError as exc:
        raise ConfigurationError(f"nothing can listen on {host} port {port}: {exc.strerror or exc}") from exc
    thread = threading.Thread(target=server.run, name=f"port {port}")
    thread.start()
    try:
        yield int(server.effective_port)
    finally:
        server.task_dispatcher.shutdown()
        server.trigger.pull_trigger(partial(wasyncore.close_all, server._map))  # clients keep their connections open
        thread.join()
