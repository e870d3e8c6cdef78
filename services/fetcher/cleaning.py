"""Cleaning: what is recorded leaves the mailbox, and nothing else does."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from services.fetcher.emptying import Empty, Emptying, Judged
from services.fetcher.ports import Fetched, Listed, Mailbox, OpenMailbox, Place, nameless_uid
from services.fetcher.windows import Windows
from shared.identity import raw_id

Recorded = Callable[[Mailbox], Sequence[tuple[str, Judged]]]
"""Of the mails of this folder that the caller read earlier: uid and judgement of those that are recorded and archived."""
Judge = Callable[[Sequence[str]], Mapping[str, Judged]]
"""Of these raw_ids those that are recorded and archived."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What one cleaning removed, under the uids of the checkpoint."""

    folder: str = ""
    uidvalidity: int = 0
    uids: list[str] = field(default_factory=list)

    def place(self, account: str) -> Place:
        """Where it was."""
        return Place(account, self.folder, self.uidvalidity)


def clean_mailbox(
    open_mailbox: OpenMailbox,
    emptying: Emptying,
    recorded: Recorded,
    judge: Judge,
    tick: Callable[[], None] = lambda: None,
) -> Cleaned:
    """One login that removes what the emptying takes. Returns when the server has confirmed it; raises MailboxError.

    Mails without a lasting uid are read here and now, and go only if their raw_id is recorded: another login may have given the
    same number to another mail. `tick` is called between them; what it raises ends the login, and nothing is removed.
    """
    if emptying.empty == Empty.NOTHING:
        return Cleaned()
    nameless: dict[str, str] = {}
    with open_mailbox(True) as mailbox:
        uids = [uid for uid, mail in recorded(mailbox) if emptying.takes(mail)]
        if not mailbox.keeps_uids:
            listed = list(mailbox.listing())
            present = {mail.uid for mail in listed}
            uids = [uid for uid in uids if uid in present]
            nameless = _recognise(mailbox, [mail for mail in listed if not mail.is_lasting], emptying, judge, tick)
            uids += nameless
        gone = mailbox.move(uids, emptying.folder) if emptying.empty == Empty.MOVE else mailbox.delete(uids)
        mailbox.logout()
        return Cleaned(mailbox.folder, mailbox.uidvalidity, [nameless.get(uid, uid) for uid in gone])


def _recognise(
    mailbox: Mailbox, mails: Sequence[Listed], emptying: Emptying, judge: Judge, tick: Callable[[], None]
) -> dict[str, str]:
    """Those that may go, and under what the checkpoint knows them."""
    taken: dict[str, str] = {}
    windows = Windows(mails)
    while not windows.is_empty:
        tick()
        readings = mailbox.read(windows.take() if mailbox.reads_together else windows.take(1))
        raw_ids = {uid: raw_id(mail.raw) for uid, mail in readings.items() if isinstance(mail, Fetched)}
        judged = judge(sorted(set(raw_ids.values())))
        taken |= {
            uid: nameless_uid(name) for uid, name in raw_ids.items() if name in judged and emptying.takes(judged[name])
        }
    return taken
