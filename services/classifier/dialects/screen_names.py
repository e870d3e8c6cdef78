"""Names without their domain: the report's own domain is meant.

AOL: `Your mail to the following recipients could not be delivered … : screenname`. Yale's directory: `Message not
delivered to the following:`, then names with the reason behind them.
"""

import re
from typing import Final

from services.classifier.anatomy import Anatomy
from services.classifier.judgement import Finding
from services.classifier.recipients import ADDRESS, clean_address

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
        return _read_directory(anatomy.notice, _explained_domain(anatomy.notice, domain))
    return []


def _explained_domain(notice: str, domain: str) -> str:
    """The parent domain, where the notice explains how addresses in it are written; else the domain itself."""
    explained = (found.group(0).rpartition("@")[2].lower().rstrip(".,") for found in ADDRESS.finditer(notice))
    return next((name for name in explained if "." in name and domain.endswith(f".{name}")), domain)


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
