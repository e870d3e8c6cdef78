"""Judging mails in a child process with bounds on memory and time.

When the child ends in the middle of a batch, a new one takes the mail that it was at alone; only a mail that ends a child
alone is lethal. No counter of the broker decides: innocents that were prefetched beside it are not its victims.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson
import structlog

from services.classifier.child import OUT_OF_MEMORY, READY
from services.classifier.framing import TimedPipe, read_frame, write_frame
from services.classifier.ports import LethalMail
from shared.errors import Transient
from shared.progress import moved

MEMORY_BYTES: Final = 1024 * 1024 * 1024
"""Address space, of which a child takes about a quarter before its first mail."""
START_TIMEOUT_S: Final = 60.0
MAIL_TIMEOUT_S: Final = 20.0
"""Far beyond what any mail takes; the longest of the hostile ones takes about a second."""

log = structlog.get_logger(__name__)


class ParserUnavailable(Transient):
    """The parser's process cannot be started; no mail is to blame."""


class _ParserEnded(Exception):
    pass


class Sandbox:
    """One parser, started when it is needed. Used by one thread at a time."""

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
        self._parser: _Parser | None = None
        self._lock = threading.Lock()

    def take_rules(self, own_rules: Mapping[str, str]) -> None:
        """Judge by these deployment rules (texts by file name, already checked) from the next batch on.

        Raises ParserUnavailable when no parser starts with them; the one that runs goes on by its own.
        """
        with self._lock:
            packed = orjson.dumps(dict(own_rules))
            parser = _Parser(packed, self._memory_bytes)
            self._end_parser()
            self._own_rules, self._parser = packed, parser

    def judge(self, raws: Sequence[bytes]) -> list[dict[str, Any] | LethalMail]:
        """For each mail, in order, its judgement, or why it cannot have one.

        Raises ParserUnavailable when no parser can be started.
        """
        with self._lock:
            judgements: list[dict[str, Any] | LethalMail] = []
            while len(judgements) < len(raws):
                try:
                    self._judge_batch(raws[len(judgements) :], judgements)
                except _ParserEnded as exc:
                    log.warning("parser_ended", cause=str(exc))
                    judgements.append(self._judge_alone(raws[len(judgements)]))
            return judgements

    def _judge_alone(self, raw: bytes) -> dict[str, Any] | LethalMail:
        alone: list[dict[str, Any] | LethalMail] = []
        try:
            self._judge_batch([raw], alone)
        except _ParserEnded as exc:
            return LethalMail(str(exc))
        return alone[0]

    def _judge_batch(self, raws: Sequence[bytes], judgements: list[dict[str, Any] | LethalMail]) -> None:
        """Append a judgement for each; raises _ParserEnded with those that came before its end appended."""
        if self._parser is None:
            self._parser = _Parser(self._own_rules, self._memory_bytes)
        try:
            for answer in self._parser.judge(raws, self._mail_timeout_s):
                judgements.append(orjson.loads(answer))
                moved()
        except BaseException:
            self._end_parser()  # an answer left unread would be taken for the next mail's
            raise

    def _end_parser(self) -> None:
        parser, self._parser = self._parser, None
        if parser is not None:
            parser.end()

    def close(self) -> None:
        """End the parser."""
        with self._lock:
            self._end_parser()


class _Parser:
    """A child process that is up and has accepted the rules. Whatever is said to it or heard of it has a deadline."""

    def __init__(self, own_rules: bytes, memory_bytes: int) -> None:
        """Raises ParserUnavailable."""
        self._memory_bytes: Final = memory_bytes
        arguments = [sys.executable, "-m", "services.classifier.child", str(memory_bytes)]
        # Nothing else of the environment: what parses strangers' mails needs no password of ours.
        environment = {"PYTHONPATH": os.pathsep.join(path or "." for path in sys.path), "PATH": os.defpath}
        try:
            # unbuffered: what is in a buffer of ours, no deadline can see
            self._process: Final = subprocess.Popen(  # noqa: S603 (our own module)
                arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0
            )
        except OSError as exc:
            raise ParserUnavailable(f"the parser cannot be started: {exc}") from exc
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests: Final = TimedPipe(self._process.stdin)
        self._answers: Final = TimedPipe(self._process.stdout)
        try:
            self._say(own_rules, START_TIMEOUT_S)
            if self._hear(START_TIMEOUT_S) != READY:
                raise _ParserEnded("it answered before it was asked")
        except _ParserEnded as exc:
            self.end()
            raise ParserUnavailable(f"the parser does not start: status {self._process.returncode}, {exc}") from exc
        except BaseException:
            self.end()
            raise

    def judge(self, raws: Sequence[bytes], mail_timeout_s: float) -> Iterator[bytes]:
        """The answer to each mail. Raises _ParserEnded; then, and where not all are taken, it is of no more use."""
        self._say(len(raws).to_bytes(4), mail_timeout_s)
        for raw in raws:
            self._say(raw, mail_timeout_s)
        for _ in raws:
            yield self._hear(mail_timeout_s)

    def _say(self, payload: bytes, timeout_s: float) -> None:
        self._requests.deadline = time.monotonic() + timeout_s
        try:
            write_frame(self._requests, payload)
        except TimeoutError:
            raise self._hang(timeout_s) from None
        except (BrokenPipeError, ConnectionResetError):
            raise self._death() from None

    def _hear(self, timeout_s: float) -> bytes:
        self._answers.deadline = time.monotonic() + timeout_s
        try:
            answer = read_frame(self._answers)
        except TimeoutError:
            raise self._hang(timeout_s) from None
        if answer is None:
            raise self._death()
        return answer

    def _hang(self, timeout_s: float) -> _ParserEnded:
        self._process.kill()
        return _ParserEnded(f"it took more than {timeout_s:g} s to parse")

    def _death(self) -> _ParserEnded:
        self.end()
        status = self._process.returncode
        if status in (OUT_OF_MEMORY, -signal.SIGKILL):
            return _ParserEnded(f"it needed more than {self._memory_bytes // 2**20} MiB of memory to parse")
        return _ParserEnded(f"the parser ended with status {status}")

    def end(self) -> None:
        """End the process; done twice, it does no harm."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        try:
            self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
