"""Every reason, who can mend it, and what it is worth when nothing else speaks: the trade's taxonomy in kebab case.

hard means: this address failed for good. Where a reason can be the sender's, a filter's or a moment's fault it is soft.
The order decides between rules of equal priority: what is said about the sender, the content or the moment comes before
what is said about the address, because a false hard is the worst error there is.
"""

from dataclasses import dataclass
from typing import Final

from shared.contract.vocabulary import Fault, Verdict


@dataclass(frozen=True, slots=True)
class Reason:
    fault: Fault | None
    verdict: Verdict
    about: str


_SOFT, _HARD, _UNSURE = Verdict.SOFT, Verdict.HARD, Verdict.UNIDENTIFIED
_RECIPIENT, _SENDER, _CONTENT, _NETWORK, _POLICY = (
    Fault.RECIPIENT,
    Fault.SENDER,
    Fault.CONTENT,
    Fault.NETWORK,
    Fault.POLICY,
)

REASONS: Final[dict[str, Reason]] = {
    "auth-failure": Reason(_SENDER, _SOFT, "SPF, DKIM or DMARC of the sender did not pass"),
    "bad-reputation": Reason(_SENDER, _SOFT, "the sending address or domain has a bad name"),
    "blocked": Reason(_SENDER, _SOFT, "the sending host is on a block list or refused as a client"),
    "require-ptr": Reason(_SENDER, _SOFT, "the sending host has no proper reverse DNS"),
    "speeding": Reason(_SENDER, _SOFT, "too many messages in too little time"),
    "too-many-conn": Reason(_SENDER, _SOFT, "too many connections at once"),
    "rejected": Reason(_SENDER, _SOFT, "the sender's address was refused"),
    "no-relaying": Reason(_SENDER, _SOFT, "the server does not relay for this sender, or serves this domain no more"),
    "security-error": Reason(_POLICY, _SOFT, "authentication, encryption or authorisation is asked for"),
    "failed-starttls": Reason(_NETWORK, _SOFT, "the encrypted connection could not be had"),
    "virus-detected": Reason(_CONTENT, _SOFT, "a virus was seen"),
    "spam-detected": Reason(_CONTENT, _SOFT, "taken for spam"),
    "mesg-too-big": Reason(_CONTENT, _SOFT, "larger than the server takes"),
    "exceed-limit": Reason(_CONTENT, _SOFT, "larger than this recipient may receive"),
    "not-compliant-rfc": Reason(_CONTENT, _SOFT, "against RFC 5322 or its kin"),
    "content-error": Reason(_CONTENT, _SOFT, "an attachment, header or character that is not accepted"),
    "policy-violation": Reason(_POLICY, _SOFT, "a policy of the receiving side that it does not explain"),
    "mailbox-full": Reason(_RECIPIENT, _SOFT, "over quota"),
    "system-full": Reason(_NETWORK, _SOFT, "the receiving server's disk is full"),
    "expired": Reason(_NETWORK, _SOFT, "not delivered in time; greylisting and unanswered connections too"),
    "network-error": Reason(_NETWORK, _SOFT, "DNS trouble, no route, a mail loop"),
    "system-error": Reason(_NETWORK, _SOFT, "the receiving system is broken or misconfigured"),
    "mailer-error": Reason(_NETWORK, _SOFT, "the program that delivers failed"),
    "syntax-error": Reason(_NETWORK, _SOFT, "a command of the session was not understood"),
    "suppressed": Reason(_RECIPIENT, _SOFT, "the sending provider's own suppression list holds the address"),
    "has-moved": Reason(_RECIPIENT, _HARD, "moved away for good"),
    "not-accept": Reason(_RECIPIENT, _HARD, "the domain says that it takes no mail (RFC 7505), or the host never does"),
    "host-unknown": Reason(_RECIPIENT, _HARD, "the domain does not exist"),
    "suspend": Reason(_RECIPIENT, _HARD, "the account is disabled, expired or closed"),
    "filtered": Reason(_RECIPIENT, _HARD, "refused as unknown after DATA, or by the recipient's own settings"),
    "user-unknown": Reason(_RECIPIENT, _HARD, "no such mailbox"),
    "feedback": Reason(_RECIPIENT, Verdict.COMPLAINT, "the recipient complained (RFC 5965)"),
    "vacation": Reason(_RECIPIENT, _UNSURE, "somebody is away"),
    "delivered": Reason(None, _UNSURE, "arrived"),
    "on-hold": Reason(None, _UNSURE, "refused, and the words give no reason"),
    "undefined": Reason(None, _UNSURE, "no reason is given at all"),
}

RANK: Final[dict[str, int]] = {name: place for place, name in enumerate(REASONS)}
