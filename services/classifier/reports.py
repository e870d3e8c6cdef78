"""Delivery reports (RFC 3464, RFC 6533) with everything that servers do to them."""

import re
from dataclasses import dataclass, field
from typing import Final

from services.classifier.judgement import Finding
from services.classifier.recipients import field_address

RECIPIENTS_LIMIT: Final = 1_000
VALUE_LIMIT: Final = 4_096

MESSAGE_FIELDS: Final = frozenset(
    {
        "reporting-mta",
        "original-envelope-id",
        "dsn-gateway",
        "received-from-mta",
        "arrival-date",
        "x-postfix-queue-id",
        "x-postfix-sender",
        "reporting-mua",
    }
)
RECIPIENT_FIELDS: Final = frozenset(
    {"original-recipient", "final-recipient", "action", "status", "remote-mta", "diagnostic-code", "last-attempt-date",
     "final-log-id", "will-retry-until", "localized-diagnostic", "x-actual-recipient", "x-display-name", "expanded-from"}
)  # fmt: skip
FIELDS: Final = MESSAGE_FIELDS | RECIPIENT_FIELDS
_EXTENSION: Final = re.compile(r"x-[a-z0-9-]{1,40}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_STATUS: Final = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")


@dataclass(slots=True)
class Report:
    reporting_mta: str = ""
    envelope_id: str = ""
    findings: list[Finding] = field(default_factory=list)


def read_report(text: str) -> Report:
    """Every recipient of a delivery-status body, in order. Groups end at blank lines or where a field comes again."""
    report = Report()
    group: dict[str, str] = {}
    last = ""
    after_gap = False

    def finish() -> None:
        if any(
            name in group
            for name in ("final-recipient", "original-recipient", "action", "diagnostic-code", "x-actual-recipient")
        ):
            report.findings.append(_finding(group))
        elif report.findings and group:
            # A blank line in the middle of a recipient's fields: the rest belongs to it.
            _complete(report.findings[-1], group)
        group.clear()

    for line in text.split("\n"):
        bare = line.strip()
        if not bare:
            after_gap, last = True, ""
            continue
        continues = last and not after_gap
        if continues and line[0] in " \t":
            group[last] = f"{group[last]} {bare}"[:VALUE_LIMIT]
            continue
        name, colon, value = bare.partition(":")
        name = name.rstrip().lower()
        if name not in FIELDS and not (colon and name.startswith("x-") and _EXTENSION.fullmatch(name)):
            if continues:  # Lotus, nullmailer and old Exchange do not fold
                group[last] = f"{group[last]} {bare}"[:VALUE_LIMIT]
            continue
        value = value.strip()[:VALUE_LIMIT]
        if name in MESSAGE_FIELDS:
            if name == "reporting-mta" and not report.reporting_mta:
                report.reporting_mta = read_host(value)
            elif name == "original-envelope-id":
                report.envelope_id = value
            last, after_gap = "", False
            continue
        begins = name in ("final-recipient", "original-recipient")
        if (begins or name == "action") and (name in group or (begins and after_gap and "final-recipient" in group)):
            if len(report.findings) >= RECIPIENTS_LIMIT:
                break
            finish()
        elif after_gap and begins and group and "action" in group:
            finish()
        group.setdefault(name, value)
        last, after_gap = name, False
    finish()
    return report


def _finding(group: dict[str, str]) -> Finding:
    original = field_address(group.get("original-recipient", ""))
    final = field_address(group.get("final-recipient", "")) or field_address(group.get("x-actual-recipient", ""))
    finding = Finding(
        recipient=original or final, original_recipient=original, final_recipient=final, found_by="report"
    )
    _complete(finding, group)
    return finding


def _complete(finding: Finding, group: dict[str, str]) -> None:
    if not finding.action and (action := group.get("action", "")):
        finding.action = action.partition("(")[0].rpartition(";")[2].strip().lower()
    if not finding.status:
        found = _STATUS.search(group.get("status", ""))
        finding.status = found.group(0) if found else ""
    finding.diagnostic = finding.diagnostic or group.get("diagnostic-code", "") or group.get("localized-diagnostic", "")
    if not finding.diagnostic and "(" in group.get("status", ""):
        finding.diagnostic = group["status"]  # Sun Messaging Server explains in a comment of Status
    finding.remote_mta = finding.remote_mta or read_host(group.get("remote-mta", ""))


def read_host(value: str) -> str:
    """The host name of `dns; host` (RFC 3464 §2.2.2), in lower case."""
    if not value:
        return ""
    words = _CONTROL.sub(" ", value.rpartition(";")[2][:1024]).split()
    return words[0].strip("()<>").lower()[:255] if words else ""
