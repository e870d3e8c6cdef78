"""What a notice says of each recipient: the lines around its address."""

import re
from dataclasses import dataclass, field
from typing import Final

from services.classifier.judgement import Finding
from services.classifier.recipients import ADDRESS, clean_address

LINE_LIMIT: Final = 1_000
LINES_LIMIT: Final = 2_000
SECTION_LIMIT: Final = 4_096

ADDRESS_IN_LINE: Final = (
    r"(?:\"[^\"\n]{1,64}\"|[^\s<>()\[\]\";:,@；，、：]{1,80})@[^\s<>()\[\]\";:,@'|*；，、：]{1,253}"
)
EXPANDED: Final = re.compile(
    rf"(?:expanded from|generated from|forwarded from"
    rf"|alias(?:ed)? (?:from|for)|ultimately generated from|originally (?:addressed )?to)[: ]{{1,3}}<?({ADDRESS_IN_LINE})>?",
    re.IGNORECASE,
)
# Sendmail says it all in one line: 550 <user@example.com>... User unknown
_WHOLE_LINE: Final = re.compile(r"\s{0,4}[245]\d\d[ -].{0,12}<[^>]+>(?:\.\.\.|:)")
# Between addresses of one list, and behind the last: nothing is said.
_SEPARATORS: Final = " \t<>()[]'\";,.:；，、："

_PARAGRAPHS: Final = re.compile(r"\n[ \t]*\n")
_MADE_FROM: Final = ("ed from", "alias", "originally")


@dataclass(slots=True)
class _Group:
    """Lines that speak of the same recipients."""

    findings: dict[str, Finding] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)


def bound(notice: str) -> str:
    """As many lines as are read, each as long as is read of one."""
    if len(notice) <= LINE_LIMIT:
        return notice
    lines = notice.split("\n")
    if len(lines) <= LINES_LIMIT and len(max(lines, key=len)) <= LINE_LIMIT:
        return notice
    return "\n".join([line[:LINE_LIMIT] for line in lines[:LINES_LIMIT]])


def assign_sections(notice: str, findings: list[Finding], above: str = "") -> None:
    """Each recipient gets the lines from the one that names it to the next that names another; all share the lines before.

    `above`: what stands before the notice and is shared too.
    """
    if len(findings) == 1:
        _mend_expansion(notice, findings[0])
        findings[0].section = notice[: SECTION_LIMIT * 2]
    elif findings:
        by_address = {finding.recipient: finding for finding in findings}
        by_address.update({finding.final_recipient: finding for finding in findings if finding.final_recipient})
        if not _assign_paragraphs(notice, findings, by_address):
            _assign_groups(notice, findings, by_address)
        if above:
            for finding in findings:
                finding.shared = f"{above}\n{finding.shared}"[:SECTION_LIMIT]


def _assign_groups(notice: str, findings: list[Finding], by_address: dict[str, Finding]) -> None:
    """Addresses that are listed with nothing between them share what follows the last."""
    prelude: list[str] = []
    groups: list[_Group] = []
    group: _Group | None = None
    goes_on = False
    for line in notice.split("\n"):
        named, says_more = _named(line, by_address) if "@" in line else ([], True)
        if named:
            if group is None or not goes_on:
                group = _Group()
                groups.append(group)
            group.findings.update((finding.recipient, finding) for finding in named)
        elif group is not None and len(group.findings) > 1 and "@" in line:
            # It speaks of somebody, perhaps of an alias: no reason for all of them.
            last = next(reversed(group.findings))
            group = _Group({last: group.findings[last]})
            groups.append(group)
        goes_on = not says_more
        if group is None:
            prelude.append(line)
            continue
        group.lines.append(line)
        if _WHOLE_LINE.match(line):
            group, goes_on = None, False
    for group in groups:
        text = "\n".join(group.lines)[:SECTION_LIMIT]
        for finding in group.findings.values():
            finding.section = f"{finding.section}\n{text}"[:SECTION_LIMIT] if finding.section else text
    shared = "\n".join(prelude)[:SECTION_LIMIT]
    for finding in findings:
        finding.shared = shared


def _named(line: str, by_address: dict[str, Finding]) -> tuple[list[Finding], bool]:
    """The first known recipient of a line with those listed behind it, and whether the line says anything else."""
    named: list[Finding] = []
    end = 0
    for found in ADDRESS.finditer(line):
        if named and line[end : found.start()].strip(_SEPARATORS) not in ("", "and"):
            return named, True
        finding = by_address.get(clean_address(found.group(0)))
        if finding is None and named:
            return named, True
        if finding is not None:
            named.append(finding)
        end = found.end()
    return named, line[end:].strip(_SEPARATORS) != ""


def _assign_paragraphs(notice: str, findings: list[Finding], by_address: dict[str, Finding]) -> bool:
    """Where each recipient ends a paragraph of its own, what stands above it there is said of it."""
    paragraphs: dict[str, str] = {}
    for paragraph in _PARAGRAPHS.split(notice):
        above, _, last = paragraph.strip("\n").rpartition("\n")
        if above and "@" in last and "@" not in above:
            known = {
                finding.recipient
                for found in ADDRESS.finditer(last)
                if (finding := by_address.get(clean_address(found.group(0))))
            }
            if len(known) == 1:
                paragraphs[known.pop()] = paragraph
    if len(paragraphs) != len(findings):
        return False
    for finding in findings:
        finding.section = paragraphs[finding.recipient][:SECTION_LIMIT]
    return True


def _mend_expansion(notice: str, finding: Finding) -> None:
    """Sendmail and Exim tell on the next line from which address the failed one was made."""
    lowered = notice.lower()
    if not any(map(lowered.__contains__, _MADE_FROM)):
        return
    for line in notice.split("\n"):
        expanded = EXPANDED.search(line) if "@" in line else None
        if expanded:
            mailed = clean_address(expanded.group(1))
            if mailed and mailed != finding.recipient:
                finding.final_recipient = finding.final_recipient or finding.recipient
                finding.recipient = mailed
            return
