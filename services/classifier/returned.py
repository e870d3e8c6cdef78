"""What the returned message's own headers tell: which send it was, to whom, of which campaign."""

import re
from typing import Final

from services.classifier.headers import Headers
from services.classifier.recipients import clean_address

CAMPAIGN_HEADERS: Final = ("x-campaign-id", "x-mailer-sid", "feedback-id")
CAMPAIGN_LIMIT: Final = 255

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def find_campaign(returned: Headers | None, names: tuple[str, ...] = CAMPAIGN_HEADERS) -> str | None:
    """The first present of the configured headers."""
    if returned is None:
        return None
    for name in names:
        if name in returned and (value := " ".join(_CONTROL.sub(" ", returned.decoded(name)).split())):
            return value[:CAMPAIGN_LIMIT]
    return None


def sole_recipient(returned: Headers | None) -> str:
    """The address in To when there is exactly one, and no Cc; '' otherwise."""
    if returned is None:
        return ""
    own_list = clean_address(returned.first("x-beenthere")) or clean_address(returned.first("list-post"))
    for name in ("x-original-to", "delivered-to"):
        if own_list:
            break  # a post to a discussion list: the addresses in its header are the list's
        if name in returned and (address := clean_address(returned.first(name))):
            return address
    value = returned.first("to")
    if value.count("@") > 3 or returned.first("cc"):
        return ""
    if "," in value and value.rpartition(",")[2].count("@") and value.partition(",")[0].count("@"):
        return ""
    address = clean_address(value)
    return "" if address == own_list else address


def senders(head: Headers, returned: Headers | None) -> frozenset[str]:
    """Addresses that are the sender's side of the story and are never reported."""
    found = {
        clean_address(head.first("from")),
        clean_address(head.first("to")),
        clean_address(head.first("delivered-to")),
    }
    if returned is not None:
        for name in ("from", "sender", "return-path", "reply-to", "errors-to", "x-sender"):
            found.add(clean_address(returned.first(name)))
    found.discard("")
    return frozenset(found)
