"""Formats of single families that the general reader of notices cannot know.

A dialect is asked in this order, before the general reader, and answers only where it recognises its own; [] passes on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from services.classifier.anatomy import Anatomy
from services.classifier.dialects import amazonses, exchange, screen_names
from services.classifier.judgement import Finding


@dataclass(frozen=True, slots=True)
class Dialect:
    name: str
    read: Callable[[Anatomy], list[Finding]]
    about: str


DIALECTS: Final = (
    Dialect("amazon-ses", amazonses.read_notification, "notifications of Amazon SNS: JSON in a mail"),
    Dialect("screen-names", screen_names.read_screen_names, "names without a domain (AOL, Yale)"),
    Dialect("exchange-5.5", exchange.read_x400, "X.400 addresses with the mail address inside"),
)


def read_dialect(anatomy: Anatomy) -> list[Finding]:
    """What the first dialect that recognises its own finds."""
    for dialect in DIALECTS:
        findings = dialect.read(anatomy)
        if findings:
            for finding in findings:
                finding.found_by = f"dialect {dialect.name}"
            return findings
    return []
