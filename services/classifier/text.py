"""Recipients in the notice people read: lines that name one, what is said below each, in the order of how sure they are."""

import re
from collections.abc import Callable, Iterable
from typing import Final

import re2

from services.classifier.judgement import Finding
from services.classifier.recipients import ADDRESS, clean_address

RECIPIENTS_LIMIT: Final = 1_000
LINE_LIMIT: Final = 1_000
LINES_LIMIT: Final = 2_000
INTRODUCTION_LIMIT: Final = 200
SECTION_LIMIT: Final = 4_096

_A: Final = r"(?:\"[^\"\n]{1,64}\"|[^\s<>()\[\]\";:,@]{1,80})@[^\s<>()\[\]\";:,@'|*]{1,253}"

# Anchored to the line; group 1 is the address, group 2 what else the line says about it.
ANGLE: Final = re.compile(
    rf"\s{{0,12}}(?:[-*>•]\s{{0,3}}|[45]\d\d[ -](?:[45]\.\d{{1,3}}\.\d{{1,3}} )?)?"
    rf"<(?:mailto:|smtp:|rfc822;)?\s?({_A})\s?>\s{{0,3}}(?:[:;,.]|\.\.\.|$|\(|-|\s)(.*)",
    re.IGNORECASE,
)
BARE: Final = re.compile(
    rf"\s{{0,16}}(?:[-*>•]{{1,3}}\s{{0,3}})?['\"]?({_A})['\"]?\s{{0,3}}"
    rf"(?:\.{{0,3}}$|[:;,]\s|\.\.\.|\s?\(|\s-|\son\s|\s<"
    rf"|\s(?=invalid|unknown|user|error|no such|no matches|mailbox|is\s|was\s|not\s))(.*)",
    re.IGNORECASE,
)
LABEL: Final = re.compile(
    rf"\s{{0,12}}(?:\*\s)?(?:(?:final|original|failed|intended|invalid|bad|undeliverable)[ -])?"
    rf"(?:recipients?(?: address)?|to|address(?:es)?|rcpt to|delivered to"
    rf"|mailbox|e-?mail(?: address)?|user|destinataire|destinatario|empf(?:ä|ae)nger|宛先|收件人"
    rf"|could not be delivered to|was not delivered to|could not deliver(?: message)? to"
    rf"|failed to deliver to|unable to deliver(?: message)? to|not delivered to|delivery to"
    rf"|can't deliver to|recipient's address|failed addresses?|to address)"
    rf"(?: failed)?\s{{0,3}}(?:[:=：]|\]|$|\s)\s{{0,6}}[\[<'\"]{{0,2}}(?:smtp:|rfc822;\s?)?({_A})[\]>'\"]{{0,2}}(.*)",
    re.IGNORECASE,
)  # fmt: skip
# In running text an address counts when a word like these stands at most 80 characters before it.
_LEAD: Final = re.compile(
    r"deliver|sent|send|fail|reach|message|mail|recipient|address|nachricht|bericht|mensa[jg]e|messaggio|wiadomo|сообщен"
    r"|письм|\b(?:to|for|an|f(?:ü|ue)r|pour|para|naar|bij|voor|till?|na|do)\b|user|account|mailbox|because",
    re.IGNORECASE,
)
LEAD_LIMIT: Final = 90
# … unless it is somebody to ask.
_ASK: Final = re.compile(r"\b(?:help|contact|questions?|support|write to|forward|ask|call|please)\b", re.IGNORECASE)
COMMAND: Final = re.compile(rf".{{0,40}}?\b(?:rcpt to|rcpt)\s{{0,2}}:\s{{0,2}}<?({_A})>?(.*)", re.IGNORECASE)
_EXPANDED: Final = re.compile(
    rf"(?:expanded from|generated from|forwarded from"
    rf"|alias(?:ed)? (?:from|for)|ultimately generated from|originally (?:addressed )?to)[: ]{{1,3}}<?({_A})>?",
    re.IGNORECASE,
)
# Sendmail says it all in one line: 550 <user@example.com>... User unknown
_WHOLE_LINE: Final = re.compile(r"\s{0,4}[245]\d\d[ -].{0,12}<[^>]+>(?:\.\.\.|:)")

_INTRODUCTION: Final = re2.compile(
    rb"(?im)^[^\n]*(?:did not reach|could ?n.t be delivered|could not be delivered|cannot be delivered|not delivered"
    rb"|undeliverable|failed|rejected|unable to deliver|permanent (?:fatal )?(?:delivery )?error)"
    rb"[^\n]*(?:following|recipient|address|errors|to:|:)[^\n]*?[:.-]?[ \t]*$"
)
_FAILS: Final = re.compile(r"not |unknown|fail|reject|full|\b[45]\d\d\b|undeliver|refus|denied|exceed", re.IGNORECASE)
_SYSTEM_NAMES: Final = (
    "postmaster",
    "mailer-daemon",
    "mailerdaemon",
    "abuse",
    "helpdesk",
    "noreply",
    "no-reply",
    "mailmaster",
    "hostmaster",
)
# What a list of recipients ends with.
_LIST_ENDS: Final = (
    "transcript of session",
    "----- transcript",
    "reporting-mta",
    "technical details",
    "diagnostic information for administrators",
)


def read_notice(notice: str, senders: frozenset[str], known: Iterable[str] = ()) -> list[Finding]:
    """Recipients the notice names, with their sections. `known`: recipients from a report or a header, looked for first."""
    lines = [line[:LINE_LIMIT] for line in notice.split("\n")[:LINES_LIMIT]]
    wanted = [address for address in known if address]
    if wanted:
        findings = [Finding(recipient=address, found_by="header") for address in dict.fromkeys(wanted)]
        _assign_sections(lines, findings)
        return findings
    start = _introduction(lines)
    for begin in (start, 0) if start else (0,):
        findings = _search(lines[begin:], senders)
        if findings:
            _assign_sections(lines[begin:] if len(findings) > 1 else lines, findings)
            if len(findings) > 1 and begin:
                for finding in findings:
                    finding.shared = "\n".join((*lines[:begin], finding.shared))[:SECTION_LIMIT]
            return findings
    # A sender that mailed itself: only lines that begin with the address say so.
    findings = _collect(lines, _match_any(ANGLE), frozenset(), "list line") if senders else []
    _assign_sections(lines, findings)
    return findings


def _introduction(lines: list[str]) -> int:
    """The line that announces the failed recipients; what stands above it (To:, Subject:) describes the message. 0 for none."""
    for found in _INTRODUCTION.finditer("\n".join(lines[:INTRODUCTION_LIMIT]).encode("utf-8", "replace")):
        if found.group(0).rstrip()[-1:] in (b":", b"-", b"."):
            return int(found.string.count(b"\n", 0, found.start()))
    return 0


def _search(lines: list[str], senders: frozenset[str]) -> list[Finding]:
    """In the order of how sure the places are that the address they name is a failed recipient."""
    return (
        _collect(lines, _match_any(ANGLE, BARE), senders, "list line")
        or _collect(lines, _match_any(LABEL), senders, "labelled line")
        or _collect(lines, _find_in_sentence, senders, "sentence")
        or _collect(lines, _match_any(COMMAND), senders, "command")
    )


def _match_any(*patterns: re.Pattern[str]) -> Callable[[str, bool], Iterable[str]]:
    """A finder of the address that a line begins with, in one of these ways."""

    def find(line: str, is_first: bool) -> Iterable[str]:
        return (found.group(1) for pattern in patterns if (found := pattern.match(line)))

    return find


def _find_in_sentence(line: str, is_first: bool) -> Iterable[str]:
    """The first address of a line that a leading word announces.

    A second line like that is only another recipient's when it says that something failed; else it names somebody to ask.
    """
    if not is_first and not _FAILS.search(line):
        return
    end = 0
    for found in ADDRESS.finditer(line):
        start = found.start()
        if start and line[start - 1] in " <[('\":" and _LEAD.search(line, max(end, start - LEAD_LIMIT), start):
            if _ASK.search(line, max(end, start - LEAD_LIMIT), start):
                return
            yield found.group(0)
            return
        end = found.end()


def any_address(notice: str, senders: frozenset[str]) -> str:
    """The only address of a notice that is not the sender's; '' when there are none or several."""
    found: set[str] = set()
    for match in ADDRESS.finditer(notice[:16_384]):
        address = clean_address(match.group(0))
        if address and address not in senders and not is_system(address):
            found.add(address)
            if len(found) > 1:
                return ""
    return found.pop() if found else ""


def is_system(address: str) -> bool:
    """Addresses of mail systems and help desks, which reports are signed with."""
    local = address.partition("@")[0]
    return local.startswith(_SYSTEM_NAMES)


def _collect(
    lines: list[str], find: Callable[[str, bool], Iterable[str]], senders: frozenset[str], name: str
) -> list[Finding]:
    findings: dict[str, Finding] = {}
    for line in lines:
        if "@" not in line:
            lowered = line.lower()
            if findings and any(end in lowered for end in _LIST_ENDS):
                break
            continue
        for text in find(line, not findings):
            address, final = clean_address(text), ""
            expanded = _EXPANDED.search(line)
            if expanded and (mailed := clean_address(expanded.group(1))):
                address, final = mailed, address
            if not address or address in senders or is_system(address) or address in findings:
                continue
            findings[address] = Finding(recipient=address, final_recipient=final, found_by=name)
            break
        if len(findings) >= RECIPIENTS_LIMIT:
            break
    return list(findings.values())


def _assign_sections(lines: list[str], findings: list[Finding]) -> None:
    """Each recipient gets the lines from the one that names it to the next that names another; all share the lines before."""
    if len(findings) == 1:
        _mend_expansion(lines, findings[0])
        findings[0].section = "\n".join(lines)[: SECTION_LIMIT * 2]
        return
    if _assign_paragraphs(lines, findings):
        return
    by_address = {finding.recipient: finding for finding in findings}
    by_address.update({finding.final_recipient: finding for finding in findings if finding.final_recipient})
    current: Finding | None = None
    prelude: list[str] = []
    sections: dict[int, list[str]] = {id(finding): [] for finding in findings}
    for line in lines:
        if "@" in line:
            for match in ADDRESS.finditer(line):
                named = by_address.get(clean_address(match.group(0)))
                if named is not None:
                    current = named
                    break
        if current is None:
            prelude.append(line)
            continue
        sections[id(current)].append(line)
        if _WHOLE_LINE.match(line):
            current = None
    shared = "\n".join(prelude)[:SECTION_LIMIT]
    for finding in findings:
        finding.section = "\n".join(sections[id(finding)])[:SECTION_LIMIT]
        finding.shared = shared


def _assign_paragraphs(lines: list[str], findings: list[Finding]) -> bool:
    """Where each recipient ends a paragraph of its own, what stands above it there is said of it."""
    paragraphs: dict[str, str] = {}
    for paragraph in re.split(r"\n[ \t]*\n", "\n".join(lines)):
        rows = paragraph.strip("\n").split("\n")
        named = [clean_address(found.group(0)) for row in rows for found in ADDRESS.finditer(row)]
        known = [finding for finding in findings if {finding.recipient, finding.final_recipient} & set(named)]
        if len(known) == 1 and len(rows) > 1 and "@" in rows[-1] and not any("@" in row for row in rows[:-1]):
            paragraphs[known[0].recipient] = paragraph
    if len(paragraphs) != len(findings):
        return False
    for finding in findings:
        finding.section = paragraphs[finding.recipient][:SECTION_LIMIT]
    return True


def _mend_expansion(lines: list[str], finding: Finding) -> None:
    """Sendmail and Exim tell on the next line from which address the failed one was made."""
    for line in lines:
        expanded = (
            _EXPANDED.search(line) if "@" in line and ("from" in line or "for" in line or " to" in line) else None
        )
        if expanded:
            mailed = clean_address(expanded.group(1))
            if mailed and mailed != finding.recipient:
                finding.final_recipient = finding.final_recipient or finding.recipient
                finding.recipient = mailed
            return
