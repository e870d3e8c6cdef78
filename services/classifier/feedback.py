"""Feedback reports (RFC 5965): who complained, as far as the report tells."""

from dataclasses import dataclass
from typing import Final

from services.classifier.anatomy import Anatomy
from services.classifier.dialects.amazonses import complaining
from services.classifier.headers import read_headers
from services.classifier.recipients import field_address
from services.classifier.reports import read_host

RECIPIENTS_LIMIT: Final = 1_000


@dataclass(frozen=True, slots=True)
class Complaint:
    feedback_type: str
    recipients: tuple[str, ...]
    reporting_mta: str


def read_feedback(anatomy: Anatomy) -> Complaint:
    """Original-Rcpt-To names the recipient (RFC 5965 §3.2); most providers black it out."""
    fields = read_headers(anatomy.feedback.encode("utf-8", "replace"))
    if not anatomy.feedback and (addresses := complaining(anatomy)):
        return Complaint("complaint", tuple(dict.fromkeys(addresses)), "amazonses.com")
    found = (field_address(value) for value in fields.all("original-rcpt-to")[:RECIPIENTS_LIMIT])
    recipients = tuple(dict.fromkeys(address for address in found if address))
    reporting_mta = read_host(fields.first("reporting-mta"))
    return Complaint(" ".join(fields.first("feedback-type").lower().split())[:40], recipients, reporting_mta)
