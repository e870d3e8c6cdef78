"""Names without their domain: the report's own domain is meant.

AOL: `Your mail to the following recipients could not be delivered … : screenname`. Yale's directory: `Message not
delivered to the following:`, then names with the reason behind them.
"""

import re
from typing import Final

from services.classifier.anatomy import Anatomy
from services.classifier.judgement import Finding
from services.classifier.recipients import clean_address

NAMES_LIMIT: Final = 1_000

_AOL_DOMAINS: Final = frozenset({"aol.com", "aim.com", "cs.com", "netscape.net"})
_NAME: Final = re.compile(r"\s{1,16}([A-Za-z][A-Za-z0-9._ ]{1,31})\s{0,4}")
_NAME_AND_REASON: Final = re.compile(r"\s{1,16}([A-Za-z][A-Za-z0-9._-]{1,31})\s{2,40}(\S.{3,200})")
_DIRECTORY: Final = "message not delivered to the following:"


def read_screen_names(anatomy: Anatomy) -> list[Finding]:
    """Names listed below the introduction, at the domain the report comes from."""
    domain = clean_address(anatomy.head.first("from")).rpartition("@")[2]
    if domain in _AOL_DOMAINS:
        return _read_list(anatomy.notice, domain)
    if domain and _DIRECTORY in anatomy.notice.lower():
        example = clean_address(anatomy.notice).rpartition("@")[2]  # the notice explains how addresses are written
        return _read_directory(anatomy.notice, example if f".{domain}".endswith(f".{example}") else domain)
    return []


def _read_list(notice: str, domain: str) -> list[Finding]:
    findings: list[Finding] = []
    introduction = ""
    for line in notice.split("\n")[:NAMES_LIMIT]:
        if introduction:
            found = _NAME.fullmatch(line)
            if found and (address := clean_address(f"{found.group(1).strip().replace(' ', '')}@{domain}")):
                findings.append(Finding(recipient=address, section=introduction))
                continue
            if line.strip():
                break
        elif line.endswith(":") and "not be delivered" in line.lower():
            introduction = line
    return findings


def _read_directory(notice: str, domain: str) -> list[Finding]:
    below = notice[notice.lower().find(_DIRECTORY) + len(_DIRECTORY) :]
    findings: list[Finding] = []
    for line in below.split("\n")[:NAMES_LIMIT]:
        found = _NAME_AND_REASON.fullmatch(line)
        if found and (address := clean_address(f"{found.group(1)}@{domain}")):
            findings.append(Finding(recipient=address, section=found.group(2)))
        elif line.strip():
            break
    return findings
