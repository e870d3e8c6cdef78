"""'Empty inbox when done': which of the recorded mails leave the mailbox, and how. Pure."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from shared.contract import Kind, MessageVerdict
from shared.errors import ConfigurationError

_UNSENDABLE: Final = re.compile(r"[\r\n\x00]")
_BOUNCE_KINDS: Final = frozenset({Kind.BOUNCE, Kind.DELAY_NOTICE, Kind.FEEDBACK_REPORT})
_RECOGNISED_KINDS: Final = frozenset({Kind.DELAY_NOTICE, Kind.FEEDBACK_REPORT})
_RECOGNISED_VERDICTS: Final = frozenset({MessageVerdict.HARD, MessageVerdict.SOFT})


class Empty(StrEnum):
    """How much is removed."""

    BOUNCES = "bounces"
    ALL = "all"
    NOTHING = "nothing"
    MOVE = "move"
    """Bounces, into a folder instead of away."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the ledger recorded of a mail."""

    kind: str
    verdict: str
    truncated: bool


@dataclass(frozen=True, slots=True)
class Emptying:
    """An account's choice; `folder` only with MOVE."""

    empty: Empty = Empty.BOUNCES
    folder: str = ""

    def takes(self, mail: Judged) -> bool:
        """Whether a mail that is recorded and archived leaves the mailbox.

        A truncated mail that is no bounce always stays: the archive has only its beginning.
        """
        match self.empty:
            case Empty.NOTHING:
                return False
            case Empty.ALL:
                return not mail.truncated or mail.kind in _BOUNCE_KINDS
            case _:
                return mail.verdict in _RECOGNISED_VERDICTS or mail.kind in _RECOGNISED_KINDS


BOUNCES: Final = Emptying()
"""What an account does that says nothing."""


def read_emptying(text: str) -> Emptying:
    """`bounces`, `all`, `nothing` or `move:FOLDER`. Raises ConfigurationError for anything else."""
    word, colon, folder = text.partition(":")
    if word == Empty.MOVE and colon:
        if not folder:
            raise ConfigurationError("'move:' needs the name of a folder, as in move:Bounces")
        require_sendable(folder, "the folder to move to")
        return Emptying(Empty.MOVE, folder)
    if colon or word not in (Empty.BOUNCES, Empty.ALL, Empty.NOTHING):
        raise ConfigurationError(f"{text!r} is none of bounces, all, nothing, move:FOLDER")
    return Emptying(Empty(word))


def require_sendable(text: str, what: str) -> None:
    """Raises ConfigurationError for text that would end a POP3 or IMAP command and begin another."""
    if _UNSENDABLE.search(text):
        raise ConfigurationError(f"{what} holds a line break or a NUL, which no mail server takes")
