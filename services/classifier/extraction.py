"""Who failed: one finding a recipient, from the surest place that names any."""

from services.classifier.anatomy import Anatomy
from services.classifier.dialects import read_dialect
from services.classifier.judgement import Finding
from services.classifier.recipients import clean_address
from services.classifier.reports import Report
from services.classifier.returned import senders, sole_recipient
from services.classifier.sections import assign_sections, bound
from services.classifier.text import RECIPIENTS_LIMIT, any_address, read_notice


def extract(anatomy: Anatomy, reports: list[Report]) -> list[Finding]:
    """From reports, a dialect, a header that lists them, the notice, or the returned message."""
    findings = _merge([finding for report in reports for finding in report.findings][:RECIPIENTS_LIMIT])
    named = [finding for finding in findings if finding.recipient]
    if named:
        if len(named) > 1:
            _add_sections(anatomy, named)
        return named
    if dialect := read_dialect(anatomy):
        return dialect
    listed = _listed(anatomy)
    notice = anatomy.notice.lower() if listed else ""
    found = _read_sections(anatomy, [address for address in listed if address in notice])
    if not found:
        ours = senders(anatomy.head, anatomy.returned)
        found = read_notice(anatomy.notice, ours) or _read_sections(anatomy, listed)
        if not found:
            address = sole_recipient(anatomy.returned) or any_address(anatomy.notice, ours)
            found = [Finding(recipient=address, found_by="the only other address" if address else "nothing")]
    if findings:
        # slimta reports without Final-Recipient: the report tells what happened, the notice to whom.
        for finding, report in zip(found, findings * len(found) if len(findings) == 1 else findings, strict=False):
            finding.action, finding.status = report.action, report.status
            finding.diagnostic, finding.remote_mta = report.diagnostic, report.remote_mta
    return found


def _listed(anatomy: Anatomy) -> list[str]:
    """The recipients that Exim and others list in a header."""
    return [
        address
        for header in anatomy.head.all("x-failed-recipients")
        for value in header.split(",")[:RECIPIENTS_LIMIT]
        if (address := clean_address(value))
    ]


def _read_sections(anatomy: Anatomy, addresses: list[str]) -> list[Finding]:
    """What the notice says of recipients that are known."""
    if not addresses:
        return []
    findings = [Finding(recipient=address, found_by="header") for address in dict.fromkeys(addresses)]
    assign_sections(bound(anatomy.notice), findings)
    return findings


def _add_sections(anatomy: Anatomy, named: list[Finding]) -> None:
    sections = _read_sections(anatomy, [finding.final_recipient or finding.recipient for finding in named])
    by_address = {section.recipient: section for section in sections}
    for finding in named:
        if section := by_address.get(finding.final_recipient or finding.recipient):
            finding.section, finding.shared = section.section, section.shared


def _merge(findings: list[Finding]) -> list[Finding]:
    """One finding a recipient; a failure outlives a delay, and a later group fills what an earlier left out."""
    merged: dict[str, Finding] = {}
    for finding in findings:
        key = finding.recipient or f"?{len(merged)}"
        earlier = merged.get(key)
        if earlier is None or (earlier.action != "failed" and finding.action == "failed"):
            merged[key] = finding
        elif not earlier.diagnostic:
            earlier.diagnostic = finding.diagnostic
    return list(merged.values())
