"""AOL named its users without their domain: `Your mail to the following recipients could not be delivered … : screenname`."""

import re
from typing import Final

from services.classifier.anatomy import Anatomy
from services.classifier.judgement import Finding
from services.classifier.recipients import clean_address

NAMES_LIMIT: Final = 1_000

_NAME: Final = re.compile(r"\s{1,16}([A-Za-z][A-Za-z0-9._ ]{1,31})\s{0,4}")


def read_screen_names(anatomy: Anatomy) -> list[Finding]:
    """Names listed below the introduction, at the domain the report comes from."""
    sender = clean_address(anatomy.head.first("from"))
    domain = sender.rpartition("@")[2]
    if domain not in ("aol.com", "aim.com", "cs.com", "netscape.net"):
        return []
    findings: list[Finding] = []
    introduction = ""
    for line in anatomy.notice.split("\n")[:NAMES_LIMIT]:
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
