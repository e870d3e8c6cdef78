"""What a server says, without the secrets that it was sent. Pure.

What is said is shown, stored and logged, and some servers repeat what they were sent. A secret that stands there as it is, or
a part of it, is cut out. It may stand there in another form as well (escaped, percent-encoded, in base64 as SASL sends it);
those cannot all be listed, so where one can be read out of the words, no word is shown.
"""

import base64
import binascii
import contextlib
import html
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_plus

SAID_LIMIT: Final = 500
WITHHELD: Final = "its words are not shown, for they repeat what it was sent"
_PART: Final = 8
"""So many characters in a row tell a long secret from anything else."""
_SHORT: Final = 4
_LAYERS: Final = 2
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{4,}")
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2}[ :]?){4,}")
_ESCAPE: Final = re.compile(r"\\x([0-9A-Fa-f]{2})|\\u([0-9A-Fa-f]{4})")
_NOISE: Final = re.compile(r"[^0-9a-z]")
_CODE: Final = re.compile(
    r"\[(?:SYS/TEMP|SYS/PERM|IN-USE|LOGIN-DELAY|AUTH|UNAVAILABLE|SERVERBUG|INUSE|LIMIT|"
    r"AUTHENTICATIONFAILED|AUTHORIZATIONFAILED|EXPIRED)\]",
    re.IGNORECASE,
)


def without_secret(said: str, *secrets: str) -> str:
    """At most SAID_LIMIT characters of it; WITHHELD, after a response code that is known, where a secret shows through."""
    said = said[:SAID_LIMIT]
    code = _CODE.search(said)
    for secret in filter(None, secrets):
        said = _cut(said, secret)
    if any(_shows(said, secret) for secret in secrets):
        return f"{code[0]} {WITHHELD}" if code else WITHHELD
    return said


def _cut(said: str, secret: str) -> str:
    """Every part of the secret that is long enough to be told from chance becomes a dot."""
    length = min(len(secret), _PART, max(_SHORT, len(secret) // 2))
    starts: dict[str, int] = {}
    for start in range(len(secret) - length + 1):
        starts.setdefault(secret[start : start + length], start)
    shown, at = [], 0
    while at < len(said):
        start = starts.get(said[at : at + length], -1)
        if start < 0:
            shown.append(said[at])
            at += 1
            continue
        while at < len(said) and start < len(secret) and said[at] == secret[start]:
            at, start = at + 1, start + 1
        shown.append("…")
    return "".join(shown)


def _shows(said: str, secret: str) -> bool:
    """Whether some reading of the words holds the secret, or a part of it, with or without the signs between its letters."""
    bare = _bare(secret)
    parts = _parts(secret)
    bare_parts = _parts(bare) if len(bare) >= _SHORT else set()
    for reading in _readings(said, _LAYERS):
        is_as_said = reading == said  # a short secret was cut out of that; a single letter is in everything else
        if not is_as_said and len(secret) >= _SHORT and _holds(reading, parts):
            return True
        if _holds(_bare(reading), bare_parts):
            return True
    return False


def _parts(secret: str) -> set[str]:
    length = min(len(secret), _PART, max(_SHORT + 2, len(secret) // 2))
    return {secret[start : start + length] for start in range(len(secret) - length + 1)}


def _holds(text: str, parts: set[str]) -> bool:
    length = len(next(iter(parts), ""))
    return length > 0 and any(text[at : at + length] in parts for at in range(len(text) - length + 1))


def _bare(text: str) -> str:
    return _NOISE.sub("", text.casefold())


def _readings(said: str, layers: int) -> Iterator[str]:
    """The words, and what they are when some encoding is undone, and another after that."""
    yield said
    if not layers:
        return
    for reading in set(_undone(said)) - {said, ""}:
        yield from _readings(reading, layers - 1)


def _undone(said: str) -> Iterator[str]:
    yield re.sub(r"\\(.)", r"\1", said)
    yield unquote_plus(said)
    yield html.unescape(said)
    unescaped = _ESCAPE.sub(lambda found: chr(int(found[1] or found[2], 16)), said)
    yield unescaped
    yield unescaped.encode("latin-1", "replace").decode("utf-8", "replace")
    for run in _BASE64.findall(said):
        for start in range(min(4, len(run) - 3)):
            whole = run[start : start + (len(run) - start) // 4 * 4].translate(str.maketrans("-_", "+/"))
            rest = run[start + len(whole) :]
            whole += rest + "=" * (-len(rest) % 4) if len(rest) > 1 else ""
            with contextlib.suppress(binascii.Error):
                yield base64.b64decode(whole).decode("utf-8", "ignore")
    for run in _HEX.findall(said):
        yield bytes.fromhex(re.sub("[ :]", "", run)).decode("utf-8", "ignore")
