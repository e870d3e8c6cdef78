"""Exchange 5.5 and its X.400 addresses: `c=US;a= ;p=Example;o=Site;dda:SMTP=user@example.com; on Fri, 4 Oct 2002`."""

import re
from typing import Final

from services.classifier.anatomy import Anatomy
from services.classifier.judgement import Finding
from services.classifier.recipients import clean_address

_X400: Final = re.compile(r"(?:dda:)?SMTP=([^\s;,]{3,320})", re.IGNORECASE)
_INTRODUCTION: Final = "did not reach the following recipient"


def read_x400(anatomy: Anatomy) -> list[Finding]:
    """Addresses behind `SMTP=` below Exchange's introduction."""
    start = anatomy.notice.find(_INTRODUCTION)
    if start < 0 or "SMTP=" not in anatomy.notice:
        return []
    below = anatomy.notice[start:]
    addresses = dict.fromkeys(clean_address(found.group(1)) for found in _X400.finditer(below))
    return [Finding(recipient=address, section=below[:4096]) for address in addresses if address]
