"""Recipients in the notice people read: lines that name some, in the order of how sure they are."""

import re
from collections.abc import Callable, Iterator
from typing import Final

import re2

from services.classifier.judgement import Finding
from services.classifier.recipients import ADDRESS, clean_address
from services.classifier.sections import ADDRESS_IN_LINE, EXPANDED, assign_sections, bound

RECIPIENTS_LIMIT: Final = 1_000
INTRODUCTION_LIMIT: Final = 200

_TYPE: Final = r"(?:mailto:|smtp[:;]\s?|rfc822;\s?)?"
# What lists begin their lines with: bullets, numbers and letters, codes.
_MARK: Final = (
    r"(?:[-*>•·・●–—+=|]{1,3}\s{0,3}|[#(\[]?(?:\d{1,3}[.):\]]|[a-z]\)|(?<=#)\d{1,3}\s)\s{1,3}|\d{1,2}\s{1,4}"
    r"|[45]\d\d(?: |-|: )(?:[45]\.\d{1,3}\.\d{1,3} )?)?"
)
_QUOTED_NAME: Final = r"(?:\"[^\"\n@]{1,80}\"|'[^'\n@]{1,80}')"
_NAME: Final = r"(?:[^\W\d_a-z][\w.'-]{0,30}\s{1,3}){1,4}"

# Anchored to the line; group 1 is the address.
ANGLE: Final = re.compile(
    rf"\s{{0,16}}{_MARK}(?:{_QUOTED_NAME}\s{{0,3}})?<{_TYPE}\s?({ADDRESS_IN_LINE})\s?>\s{{0,3}}(?:[:;,.]|\.\.\.|$|\(|-|\s)",
    re.IGNORECASE,
)
BARE: Final = re.compile(
    rf"\s{{0,16}}(?:[-*>•]{{1,3}}\s{{0,3}})?['\"]?({ADDRESS_IN_LINE})['\"]?\s{{0,3}}"
    rf"(?:\.{{0,3}}$|[:;,]\s|\.\.\.|\s?\(|\s-|\son\s|\s<"
    rf"|\s(?=invalid|unknown|user|error|no such|no matches|mailbox|is\s|was\s|not\s))",
    re.IGNORECASE,
)
# Only below an introduction: elsewhere a signature, a table of senders or a list of advice looks the same.
LISTED: Final = re.compile(
    rf"\s{{0,16}}{_MARK}['\"(\[]?{_TYPE}({ADDRESS_IN_LINE})[\])>'\"]?\s{{0,3}}"
    rf"(?:\.{{0,3}}$|[:;,；，、：]|\.\.\.|\s?[(\[|]|<mailto:|\s[-–—=|]|\s\s|\t|\son\s|\s<"
    rf"|\s(?=[45]\d\d|invalid|unknown|user|error|no such|no matches|mailbox|recipient|is\s|was\s|not\s))",
    re.IGNORECASE,
)
# Only below an introduction, where nothing surer is found.
NAMED: Final = re.compile(
    rf"\s{{0,16}}(?:(?i:{_MARK})){_NAME}[<(\[](?i:{_TYPE})({ADDRESS_IN_LINE})[\])>]\s{{0,3}}(?:[:;,]|$|\(|-|<)"
)
LABEL: Final = re.compile(
    rf"\s{{0,12}}(?:\*\s)?(?:(?:final|original|failed|intended|invalid|bad|undeliverable)[ -])?"
    rf"(?:recipients?(?:\(s\))?(?: address)?|to|address(?:es)?|rcpt to|delivered to"
    rf"|mailbox|e-?mail(?: address)?|user|destinataire|destinatario|empf(?:ä|ae)nger|宛先|收件人"
    rf"|could not be delivered to|was not delivered to|could not deliver(?: message)? to"
    rf"|failed to deliver to|unable to deliver(?: message)? to|not delivered to|delivery to"
    rf"|can't deliver to|recipient's address|failed addresses?|to address)"
    rf"(?: failed)?(?:\s?[#\[(]?\d{{1,3}}[\])]?)?\s{{0,3}}(?:[:=：]|\]|$|\s)\s{{0,6}}"
    rf"(?:{_QUOTED_NAME}\s{{0,3}}|(?-i:{_NAME})(?=<))?[\[<'\"]{{0,2}}{_TYPE}({ADDRESS_IN_LINE})",
    re.IGNORECASE,
)  # fmt: skip
_ANY: Final = re.compile(ADDRESS_IN_LINE)
_SENTENCE_END: Final = re.compile(r"[\])>'\"]{0,2}\s{0,3}[.:;!]{0,3}\s{0,3}(?:$|\s[A-Z])")
_TO: Final = re.compile(r"[>\s]{0,12}to\s{0,3}:", re.IGNORECASE)
# What stands between an address and the next of the same list.
_ANOTHER: Final = re.compile(
    rf"[\])>'\"]{{0,2}}\s{{0,3}}(?:[;,；，、]\s{{0,3}}(?:(?:and|&|und|et)\s)?|\s(?:and|&|und|et)\s|(?<=>)\s?(?=<))\s{{0,3}}"
    rf"(?:{_QUOTED_NAME}\s{{0,3}}|(?-i:{_NAME})(?=<))?[\[(<'\"]{{0,2}}{_TYPE}({ADDRESS_IN_LINE})",
    re.IGNORECASE,
)

# In running text an address counts when a word like these stands at most 80 characters before it.
_LEAD: Final = re.compile(
    r"deliver|sent|send|fail|reach|message|mail|recipient|address|nachricht|bericht|mensa[jg]e|messaggio|wiadomo|сообщен"
    r"|письм|\b(?:to|for|an|f(?:ü|ue)r|pour|para|naar|bij|voor|till?|na|do)\b|user|account|mailbox|because",
    re.IGNORECASE,
)
LEAD_LIMIT: Final = 90
# … unless it is somebody to ask.
_ASK: Final = re.compile(r"\b(?:help|contact|questions?|support|write to|forward|ask|call|please)\b", re.IGNORECASE)
COMMAND: Final = re.compile(rf".{{0,40}}?\b(?:rcpt to|rcpt)\s{{0,2}}:\s{{0,2}}<?({ADDRESS_IN_LINE})>?", re.IGNORECASE)
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


Finder = Callable[[str, bool], re.Match[str] | None]
"""Where a line names its first recipient, if it does; whether nobody was found before."""


def read_notice(notice: str, senders: frozenset[str]) -> list[Finding]:
    """Recipients the notice names, with their sections."""
    notice = bound(notice)
    lines = notice.split("\n")
    mentions = _mentions(notice, lines)
    if not mentions:
        return []
    # What stands above the introduction (To:, Subject:) describes the message.
    start = _introduction(lines) if len(mentions) > 1 or mentions[0].count("@") > 1 else None
    findings: list[Finding] = []
    if start is not None:
        below = lines[start:]
        findings = _search(_mentions(notice, below), senders, is_introduced="@" not in lines[start])
        if len(findings) > 1 and start:
            assign_sections("\n".join(below), findings, above="\n".join(lines[:start]))
            return findings
    if not findings and start != 0:
        findings = _search(mentions, senders, is_introduced=False)
    # A sender that mailed itself: only lines that begin with the address say so.
    if not findings and senders:
        findings = _collect(mentions, _match(ANGLE), frozenset(), "list line")
    assign_sections(notice, findings)
    return findings


def _mentions(notice: str, lines: list[str]) -> list[str]:
    """The lines that hold an address, or end a list of them."""
    lowered = notice.lower()
    if "\n--" in lowered or any(map(lowered.__contains__, _LIST_ENDS)):
        return [line for line in lines if "@" in line or _ends_list(line)]
    return [line for line in lines if "@" in line]


def _ends_list(line: str) -> bool:
    """A heading of what comes after a list, or the line above a signature."""
    lowered = line.lower()
    return lowered.rstrip() == "--" or any(map(lowered.__contains__, _LIST_ENDS))


def _introduction(lines: list[str]) -> int | None:
    """The line that announces the failed recipients."""
    for found in _INTRODUCTION.finditer("\n".join(lines[:INTRODUCTION_LIMIT]).encode("utf-8", "replace")):
        if found.group(0).rstrip()[-1:] in (b":", b"-", b"."):
            return int(found.string.count(b"\n", 0, found.start()))
    return None


def _search(lines: list[str], senders: frozenset[str], is_introduced: bool) -> list[Finding]:
    """In the order of how sure the places are that the address they name is a failed recipient."""
    return (
        _collect(lines, _find_in_list if is_introduced else _find_on_line, senders, "list line")
        or _collect(lines, _match(LABEL), senders, "labelled line")
        or (_collect(lines, _match(NAMED), senders, "list line") if is_introduced else [])
        or _collect(lines, _find_in_sentence, senders, "sentence")
        or _collect(lines, _match(COMMAND), senders, "command")
    )


def _match(pattern: re.Pattern[str]) -> Finder:
    """A finder of the address that a line begins with, in this way."""
    return lambda line, is_first: pattern.match(line)


def _find_on_line(line: str, is_first: bool) -> re.Match[str] | None:
    """The address that a line begins with, where nothing announces a list."""
    return ANGLE.match(line) or BARE.match(line)


def _find_in_list(line: str, is_first: bool) -> re.Match[str] | None:
    """The address that a line begins with; behind a label where the list goes on in the next line."""
    found = _find_on_line(line, is_first)
    if found is None and (found := LISTED.match(line)) is not None:
        # A table with a column of senders, or `alias => address`: nobody says which of them failed.
        named = {one.lower() for one in _ANY.findall(line)}
        found = None if named - {one.lower() for one in _listed(line, found)} else found
    return LABEL.match(line) if found is None and line.endswith((",", ";")) else found


def _find_in_sentence(line: str, is_first: bool) -> re.Match[str] | None:
    """The first address of a line that a leading word announces.

    A second line like that is only another recipient's when it says that something failed; else it names somebody to ask.
    """
    if not is_first and not _FAILS.search(line):
        return None
    end = 0
    for found in ADDRESS.finditer(line):
        start = found.start()
        if start and line[start - 1] in " <[('\":" and _LEAD.search(line, max(end, start - LEAD_LIMIT), start):
            return None if _ASK.search(line, max(end, start - LEAD_LIMIT), start) else found
        end = found.end()
    return None


def _enumerated(line: str, found: re.Match[str]) -> list[str]:
    """The same in a sentence, which must end with the last: `to A, and B has been informed` names one."""
    listed = list(_listed(line, found))
    end = line.rfind(listed[-1]) + len(listed[-1])
    return listed if _SENTENCE_END.match(line, end) else listed[:1]


def _listed(line: str, found: re.Match[str]) -> Iterator[str]:
    """The address that was found in a line, and those that the line lists behind it."""
    group = found.re.groups
    yield found.group(group)
    another = _ANOTHER.match(line, found.end(group))
    while another is not None:
        yield another.group(1)
        another = _ANOTHER.match(line, another.end(1))


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


def _collect(lines: list[str], find: Finder, senders: frozenset[str], name: str) -> list[Finding]:
    findings: dict[str, Finding] = {}
    is_returned_to = False
    for line in lines:
        if "@" not in line:
            if findings:
                break  # what ends a list
            continue
        if is_returned_to and line[0] in " \t":
            continue
        found = find(line, not findings)
        # Of the several that a returned message's `To:` names, folded or not, nobody says who failed.
        is_returned_to = _TO.match(line) is not None and (
            line.rstrip().endswith((",", ";"))
            or (found is not None and _ANOTHER.match(line, found.end(found.re.groups)) is not None)
        )
        if found is None or is_returned_to:
            continue
        expanded = EXPANDED.search(line) if "from" in line or "for" in line or "to" in line else None
        mailed = clean_address(expanded.group(1)) if expanded else ""
        listed = _enumerated if find is _find_in_sentence else _listed
        for text in (found.group(found.re.groups),) if mailed else listed(line, found):
            address, final = clean_address(text), ""
            if mailed:
                address, final = mailed, address
            if address and address not in senders and address not in findings and not is_system(address):
                findings[address] = Finding(recipient=address, final_recipient=final, found_by=name)
        if len(findings) >= RECIPIENTS_LIMIT:
            break
    return list(findings.values())[:RECIPIENTS_LIMIT]
