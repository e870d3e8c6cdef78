"""Who is who: the same mail, and the same failed send, have the same id wherever they are computed."""

import hashlib
import re
from typing import Final

READ_LIMIT_BYTES: Final = 512 * 1024
"""What is read of a message, whatever way it came (larger ones are judged by their beginning)."""

_STORED_HEADERS: Final = re.compile(
    rb"^(?:Status|X-Status|X-UIDL|X-Keywords|X-IMAP|X-IMAPbase):[^\n]*\n(?:[ \t][^\n]*\n)*",
    re.IGNORECASE | re.MULTILINE,
)
_MBOX_FROM: Final = re.compile(rb"\A>?From [^\n]*\n")


def cut(raw: bytes) -> tuple[bytes, bool]:
    """The first 512 KiB of a message, and whether anything was cut off."""
    return raw[:READ_LIMIT_BYTES], len(raw) > READ_LIMIT_BYTES


def canonical_bytes(raw: bytes) -> bytes:
    """The message without what storing it changes: line ends, an mbox From_ line, trailing newlines, mailbox headers."""
    unified = raw.replace(b"\r\n", b"\n")
    unified = _MBOX_FROM.sub(b"", unified, count=1)
    head_end = 0 if unified.startswith(b"\n") else unified.find(b"\n\n")
    head, rest = (unified, b"") if head_end < 0 else (unified[: head_end + 1], unified[head_end + 1 :])
    if head and not head.endswith(b"\n"):
        head += b"\n"
    return (_STORED_HEADERS.sub(b"", head) + rest).rstrip(b"\n")


def raw_id(raw: bytes) -> str:
    """sha256 of the canonical bytes, as 64 hexadecimal digits. Always computed, never believed."""
    return hashlib.sha256(canonical_bytes(raw)).hexdigest()


def event_id(*parts: str) -> str:
    """sha256 over the parts, none of which can be taken for two: the name of one failed send to one recipient."""
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    return hashlib.sha256(b"".join([b"%d:%b" % (len(part), part) for part in encoded])).hexdigest()
