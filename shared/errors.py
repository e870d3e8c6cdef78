"""Errors whose type says what a consumer does next: wait and go on, or set the message aside."""

from typing import Final

SHOWN: Final = 100
"""So much of what somebody typed is repeated: a message of it has to fit a line, and a cookie."""


class MailroomError(Exception):
    """Every error of this project; its text can be shown to a person as it is."""


class Transient(MailroomError):
    """Retrying may help: a server is unreachable. The consumer waits; no attempt is spent."""


class Permanent(MailroomError):
    """Retrying cannot help: the message goes to the dead letters at once, with this text as its reason."""


class ConfigurationError(MailroomError):
    """A setting is missing or wrong; the text names the variable and what it should hold."""


class InvalidAddress(MailroomError):
    """Not an e-mail address that could be mailed."""

    def __init__(self, text: str, cause: str) -> None:
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
        super().__init__(f"{shown!r} is no e-mail address: {cause}")
