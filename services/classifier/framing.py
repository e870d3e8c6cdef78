"""How the sandbox and its child talk: frames of four bytes of length and a payload."""

import struct
from typing import IO, Final

_LENGTH: Final = struct.Struct(">I")

Stream = IO[bytes]
"""Buffered, or a bare pipe that may take or give less than it was asked for."""


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
