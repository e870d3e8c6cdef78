"""Amazon SES through SNS: the report is JSON, once more inside a JSON string when the topic is not raw."""

import json
from typing import Final

from services.classifier.anatomy import Anatomy
from services.classifier.judgement import Finding
from services.classifier.recipients import clean_address

JSON_LIMIT: Final = 64 * 1024
RECIPIENTS_LIMIT: Final = 1_000


def load_notification(text: str) -> dict[str, object]:
    """The notification inside a notice; {} where there is none. Text after it (SNS's unsubscribe lines) is passed over."""
    start = text.find("{")
    if start < 0 or '"notificationType' not in text.replace("\\", ""):
        return {}
    document: object = text[start : start + JSON_LIMIT]
    for _ in range(3):
        if isinstance(document, str):
            try:
                document, _end = json.JSONDecoder().raw_decode(document)
            except (ValueError, RecursionError):
                return {}
        elif isinstance(document, dict) and "notificationType" not in document and "Message" in document:
            document = document["Message"]
        else:
            break
    return document if isinstance(document, dict) and "notificationType" in document else {}


def read_notification(anatomy: Anatomy) -> list[Finding]:
    """The bounced recipients of a notification of type Bounce."""
    bounce = load_notification(anatomy.notice).get("bounce")
    recipients = bounce.get("bouncedRecipients") if isinstance(bounce, dict) else None
    findings: list[Finding] = []
    for entry in recipients[:RECIPIENTS_LIMIT] if isinstance(recipients, list) else ():
        if isinstance(entry, dict):
            words = {
                key: str(entry.get(key) or "")[:4096] for key in ("emailAddress", "action", "status", "diagnosticCode")
            }
            address = clean_address(words["emailAddress"])
            if address:
                found = Finding(address, "", "", words["action"].lower(), words["status"], words["diagnosticCode"])
                found.section = found.diagnostic or anatomy.notice[:256]
                findings.append(found)
    return findings


def complaining(anatomy: Anatomy) -> list[str]:
    """The recipients of a notification of type Complaint; [] for every other message."""
    complaint = load_notification(anatomy.notice).get("complaint")
    recipients = complaint.get("complainedRecipients") if isinstance(complaint, dict) else None
    found = (clean_address(str(entry.get("emailAddress", ""))) for entry in recipients or () if isinstance(entry, dict))
    return [address for address in found if address] if isinstance(recipients, list) else []
