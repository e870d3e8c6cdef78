"""Mails as accidents leave them: flipped, cut, doubled, spliced; the same for the same seed."""

import random
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

from services.fetcher.mailbox_files import read_path
from tests.corpus.conftest import CORPUS

ROOT: Final = Path(__file__).parents[2]
OWN: Final = (
    ROOT / "samples" / "mails",
    ROOT / "samples" / "more.mbox",
    ROOT / "tests" / "unit" / "classifier" / "mails",
)

LIMIT_BYTES: Final = 1024 * 1024
"""The contract's for a mail."""

CHARSETS: Final = (b"utf-7", b"utf-16", b"iso-2022-jp", b"gb18030", b"shift_jis", b"hz", b"cp037", b"koi8-r", b"x-none")
SPLINTERS: Final = (
    b"\0", b"\r", b"\n\n", b"=?", b"<", b">", b"@", b'"', b"--", b"\xff", b"\\x{D800}", b"\\347", b"=", b":", b";",
    b"=?utf-8?b?", b"\nContent-Type: multipart/mixed; boundary=", b"\nContent-Transfer-Encoding: base64\n",
    b"\nFinal-Recipient: rfc822; ", b"\n\n--", b"5.1.1 ", b"550 ", b"&#x", b"\xe2\x80\xa8", b"\xed\xa0\x80", b"\x1b$B",
)  # fmt: skip

_CHARSET: Final = re.compile(rb"charset=\"?[\w-]+\"?", re.IGNORECASE)
_FIELD: Final = re.compile(rb"(?m)^[A-Za-z-]+:[^\n]*\n(?:[ \t][^\n]*\n)*")

Mutation = Callable[[random.Random, bytearray], None]


@cache
def own_mails() -> tuple[bytes, ...]:
    """Sample mails and mails of the tests."""
    return tuple(found.raw for source in OWN for found in read_path(source))


@cache
def originals() -> tuple[bytes, ...]:
    """The project's own mails, and those of a labelled corpus where there is one."""
    if not (CORPUS / "labels.jsonl").is_file():
        return own_mails()
    return own_mails() + tuple(path.read_bytes() for path in sorted((CORPUS / "messages").glob("*.eml")))


def mutants(seed: int, number: int) -> Iterator[bytes]:
    """So many mails, each with one to six accidents."""
    chance = random.Random(seed)
    for _ in range(number):
        raw = bytearray(chance.choice(originals()))
        for _ in range(chance.randint(1, 6)):
            if raw:
                chance.choice(MUTATIONS)(chance, raw)
        yield bytes(raw[:LIMIT_BYTES])


def flip_bytes(chance: random.Random, raw: bytearray) -> None:
    for _ in range(chance.randint(1, 20)):
        raw[chance.randrange(len(raw))] = chance.randrange(256)


def drop_lines(chance: random.Random, raw: bytearray) -> None:
    start, end = _lines(chance, raw)
    del raw[start:end]


def double_lines(chance: random.Random, raw: bytearray) -> None:
    start, end = _lines(chance, raw)
    raw[start:start] = raw[start:end] * chance.choice((1, 2, 50))


def delete_a_header(chance: random.Random, raw: bytearray) -> None:
    fields = list(_FIELD.finditer(raw))
    if fields:
        found = chance.choice(fields)
        del raw[found.start() : found.end()]


def splice(chance: random.Random, raw: bytearray) -> None:
    other = chance.choice(originals())
    raw[chance.randrange(len(raw)) :] = other[chance.randrange(len(other) + 1) :]


def change_charset(chance: random.Random, raw: bytearray) -> None:
    named = b"charset=" + chance.choice(CHARSETS)
    raw[:] = _CHARSET.sub(named, raw, count=chance.randint(0, 2))


def insert_a_splinter(chance: random.Random, raw: bytearray) -> None:
    place = chance.randrange(len(raw))
    raw[place:place] = chance.choice(SPLINTERS)


def cut(chance: random.Random, raw: bytearray) -> None:
    del raw[chance.randrange(len(raw)) :]


def change_line_ends(chance: random.Random, raw: bytearray) -> None:
    raw[:] = raw.replace(b"\r\n", b"\n").replace(b"\n", chance.choice((b"\r", b"\r\n", b"\n\r", b"\r\r\n")))


MUTATIONS: Final[tuple[Mutation, ...]] = (
    flip_bytes, drop_lines, double_lines, delete_a_header, splice, change_charset, insert_a_splinter, cut, change_line_ends,
)  # fmt: skip


def _lines(chance: random.Random, raw: bytearray) -> tuple[int, int]:
    """From a line's start to the end of one of the next ten."""
    start = raw.rfind(b"\n", 0, chance.randrange(len(raw))) + 1
    end = start
    for _ in range(chance.randint(1, 10)):
        end = raw.find(b"\n", end) + 1 or len(raw)
    return start, end
