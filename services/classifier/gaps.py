"""Patterns with gaps (`quota[^.;]*exceed`), which are asked only of texts that hold a piece of them.

An automaton of all patterns must remember at every letter which gaps it stands in, and has states for each combination.
"""

import re
from typing import Final

import re2

_SYMBOL: Final = re.compile(
    r"(?P<gap>(?:\[\^(?:\\.|[^\]\\])*\]|\.)(?:[*+]|\{[^}]*\})\??)|\[\^?\]?(?:\\.|[^\]\\])*\]|\\.|.", re.DOTALL
)
# Flags hold for what follows, quotes and classes of POSIX have brackets of their own.
_INDIVISIBLE: Final = re.compile(r"\(\?(?!:|P<)|\\Q|\[:")


def telling_piece(pattern: str) -> str:
    """The piece between two gaps that the fewest texts should hold; the whole pattern where it has no gap.

    Whatever the pattern matches holds the piece.
    """
    if _INDIVISIBLE.search(pattern):
        return pattern
    pieces = [""]
    depth = 0
    for found in _SYMBOL.finditer(pattern):
        symbol = found.group()
        depth += {"(": 1, ")": -1}.get(symbol, 0)
        if depth == 0 and symbol == "|":
            return pattern
        if depth == 0 and found["gap"]:
            pieces.append("")
        else:
            pieces[-1] += symbol
    telling = [piece for piece in pieces if piece and re2.search(piece, "") is None]
    return max(telling, key=lambda piece: len(piece) / (1 + piece.count("|")), default=pattern)
