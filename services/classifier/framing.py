"""How the sandbox and its child talk: frames of four bytes of length and a payload."""

import os
import select
import struct
import time
from typing import IO, Final, Protocol

from shared.progress import moved

_LENGTH: Final = struct.Struct(">I")


class Stream(Protocol):
    """Buffered, or a bare pipe that may take or give less than it was asked for."""

    def read(self, size: int, /) -> bytes | None:
        """Nothing at its end."""

    def write(self, data: memoryview, /) -> int | None:
        """How much was taken."""


class TimedPipe:
    """One end of a bare pipe; what waits for the other side beyond `deadline` raises TimeoutError."""

    def __init__(self, pipe: IO[bytes]) -> None:
        os.set_blocking(pipe.fileno(), False)
        self._pipe: Final = pipe
        self._poll: Final = select.poll()
        self._poll.register(pipe, select.POLLIN if pipe.readable() else select.POLLOUT)
        self.deadline = 0.0
        """By the monotonic clock."""

    def read(self, size: int, /) -> bytes | None:
        """What is there of it; nothing at its end."""
        self._wait()
        return self._pipe.read(size)

    def write(self, data: memoryview, /) -> int | None:
        """How much was taken."""
        self._wait()
        return self._pipe.write(data)

    def _wait(self) -> None:
        while not self._poll.poll(min(1.0, max(0.0, self.deadline - time.monotonic())) * 1000):
            moved()  # it waits for a child that has a deadline
            if time.monotonic() >= self.deadline:
                raise TimeoutError


def write_frame(stream: Stream, payload: bytes) -> None:
    """Not flushed."""
    frame = memoryview(_LENGTH.pack(len(payload)) + payload)
    while frame:
        frame = frame[stream.write(frame) or 0 :]


def read_frame(stream: Stream) -> bytes | None:
    """None at the end of the stream, also in the middle of a frame."""
    head = _read_exactly(stream, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    return _read_exactly(stream, length)


def _read_exactly(stream: Stream, size_bytes: int) -> bytes | None:
    parts: list[bytes] = []
    missing = size_bytes
    while missing:
        part = stream.read(missing)
        if not part:
            return None
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
