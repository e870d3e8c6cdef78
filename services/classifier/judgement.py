"""What the classifier finds and what it says."""

from dataclasses import dataclass

from shared.contract.vocabulary import Fault, Kind, MessageVerdict, Verdict


@dataclass(slots=True)
class Finding:
    """One recipient and what a report says about it, before anything is concluded. Addresses are normalised or ''."""

    recipient: str = ""
    original_recipient: str = ""
    final_recipient: str = ""
    action: str = ""
    status: str = ""
    diagnostic: str = ""
    """The reply or error the report quotes for this recipient."""
    section: str = ""
    """What the notice says about this recipient."""
    shared: str = ""
    """What it says before it names anybody."""
    remote_mta: str = ""
    found_by: str = ""


@dataclass(slots=True)
class Outcome:
    """What became of the mail to one recipient; the fields of the contract (DESIGN: the verdict message)."""

    event_id: str
    tier: int
    recipient: str | None
    final_recipient: str | None
    verdict: Verdict
    reason: str | None
    fault: Fault | None
    action: str | None
    status: str | None
    reply_code: str | None
    diagnostic_code: str | None
    remote_mta: str | None
    rule: str
    evidence: str


@dataclass(slots=True)
class Judgement:
    kind: Kind
    verdict: MessageVerdict
    reporting_mta: str | None
    campaign: str | None
    outcomes: tuple[Outcome, ...]
