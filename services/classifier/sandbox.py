"""Judging mails in a child process with bounds on memory and time.

When the child ends in the middle of a batch, a new one takes the mail that it was at alone; only a mail that ends a child
alone is lethal. No counter of the broker decides: innocents that were prefetched beside it are not its victims.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
import structlog

from services.classifier.child import OUT_OF_MEMORY, READY
from services.classifier.framing import read_frame, write_frame
from services.classifier.ports import LethalMail
from shared.errors import Transient

MEMORY_BYTES: Final = 1024 * 1024 * 1024
"""Address space, of which a child takes about a quarter before its first mail."""
START_TIMEOUT_S: Final = 60.0
MAIL_TIMEOUT_S: Final = 20.0
"""Far beyond what any mail takes; the longest of the hostile ones takes about a second."""

log = structlog.get_logger(__name__)


class ParserUnavailable(Transient):
    """The parser's process cannot be started; no mail is to blame."""


class _ChildEnded(Exception):
    pass


class Sandbox:
    """One child, started when it is needed. Used by one thread at a time."""

    def __init__(
        self,
        own_rules: Mapping[str, str] | None = None,
        *,
        memory_bytes: int = MEMORY_BYTES,
        mail_timeout_s: float = MAIL_TIMEOUT_S,
    ) -> None:
        self._own_rules = orjson.dumps(dict(own_rules or {}))
        self._memory_bytes = memory_bytes
        self._mail_timeout_s = mail_timeout_s
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def take_rules(self, own_rules: Mapping[str, str]) -> None:
        """Judge by these deployment rules (texts by file name, already checked) from the next batch on."""
        with self._lock:
            self._own_rules = orjson.dumps(dict(own_rules))
            if self._child is not None:
                self._end(self._child)

    def judge(self, raws: Sequence[bytes]) -> list[dict[str, Any] | LethalMail]:
        """For each mail, in order, its judgement, or why it cannot have one.

        Raises ParserUnavailable when no child can be started.
        """
        with self._lock:
            judgements: list[dict[str, Any] | LethalMail] = []
            while len(judgements) < len(raws):
                try:
                    self._judge_batch(raws[len(judgements) :], judgements)
                except _ChildEnded as exc:
                    log.warning("parser_ended", cause=str(exc))
                    judgements.append(self._judge_alone(raws[len(judgements)]))
            return judgements

    def _judge_alone(self, raw: bytes) -> dict[str, Any] | LethalMail:
        alone: list[dict[str, Any] | LethalMail] = []
        try:
            self._judge_batch([raw], alone)
        except _ChildEnded as exc:
            return LethalMail(str(exc))
        return alone[0]

    def _judge_batch(self, raws: Sequence[bytes], judgements: list[dict[str, Any] | LethalMail]) -> None:
        """Append a judgement for each; raises _ChildEnded with those that came before its end appended."""
        child = self._running_child()
        try:
            self._exchange(child, raws, judgements)
        except BaseException:
            self._end(child)  # an answer left unread would be taken for the next mail's
            raise

    def _exchange(
        self, child: subprocess.Popen[bytes], raws: Sequence[bytes], judgements: list[dict[str, Any] | LethalMail]
    ) -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            write_frame(child.stdin, len(raws).to_bytes(4))
            for raw in raws:
                write_frame(child.stdin, raw)
            child.stdin.flush()
        except (BrokenPipeError, ConnectionResetError):
            self._end(child)
            raise _ChildEnded(self._cause(child)) from None
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            for _ in raws:
                answer = self._answer(child, selector, self._mail_timeout_s)
                judgements.append(orjson.loads(answer))

    def _answer(self, child: subprocess.Popen[bytes], selector: selectors.BaseSelector, timeout_s: float) -> bytes:
        assert child.stdout is not None
        until = time.monotonic() + timeout_s
        while not selector.select(until - time.monotonic()):
            if time.monotonic() >= until:
                child.kill()
                self._end(child)
                raise _ChildEnded(f"it took more than {timeout_s:g} s to parse")
        answer = read_frame(child.stdout)
        if answer is None:
            self._end(child)
            raise _ChildEnded(self._cause(child))
        return answer

    def _cause(self, child: subprocess.Popen[bytes]) -> str:
        if child.returncode in (OUT_OF_MEMORY, -signal.SIGKILL):
            return f"it needed more than {self._memory_bytes // 2**20} MiB of memory to parse"
        return f"the parser ended with status {child.returncode}"

    def _running_child(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            self._child = self._start_child()
        return self._child

    def _start_child(self) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, "-m", "services.classifier.child", str(self._memory_bytes)]
        # Nothing else of the environment: what parses strangers' mails needs no password of ours.
        environment = {"PYTHONPATH": os.pathsep.join(path or "." for path in sys.path), "PATH": os.defpath}
        try:
            # unbuffered reads: what is in a buffer of ours, no selector can see
            child = subprocess.Popen(  # noqa: S603 (our own module)
                arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0
            )
        except OSError as exc:
            raise ParserUnavailable(f"the parser cannot be started: {exc}") from exc
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError):  # it ended already, which its answer tells
                write_frame(child.stdin, self._own_rules)
                child.stdin.flush()
            with selectors.DefaultSelector() as selector:
                selector.register(child.stdout, selectors.EVENT_READ)
                if self._answer(child, selector, START_TIMEOUT_S) != READY:
                    raise _ChildEnded("it answered before it was asked")
        except _ChildEnded as exc:
            self._end(child)
            raise ParserUnavailable(f"the parser does not start: status {child.returncode}, {exc}") from exc
        return child

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        self._child = None
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        try:
            child.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def close(self) -> None:
        """End the child."""
        with self._lock:
            if self._child is not None:
                self._end(self._child)
