"""Adding, changing and removing contact lists with their accounts: what the command line and the console do alike."""

from dataclasses import replace

from services.fetcher.lists import BounceAccount, ContactList, check_list
from services.fetcher.lists_sql import SqlLists, Stored
from services.fetcher.settling import Settled, Settling, Wanted
from shared.errors import ConfigurationError


class Keeping:
    """`who` is told to the audit. Every method raises ConfigurationError, TrialFailed among them, and then has saved nothing."""

    def __init__(self, lists: SqlLists, settling: Settling, who: str) -> None:
        self._lists = lists
        self._settling = settling
        self._who = who

    def add(self, one: ContactList, wanted: Wanted, *, is_tried: bool = True) -> Stored | Settled | None:
        """A new list. The account that it shares, its new one, or None where nothing is said about an account."""
        check_list(one)
        if one.list_id in {known.list_id for known in self._lists.lists()}:
            raise ConfigurationError(f"there is a list {one.list_id!r} already: choose another name, or edit that one")
        if not wanted.says_anything():
            self._lists.add(one, None, None, self._who)
            return None
        settled = self._settling.add(one.list_id, one.bounce_email, wanted, is_tried=is_tried)
        self._lists.add(replace(one, account=settled.account.name), *_new_parts(settled), self._who)
        return settled

    def change(
        self, one: ContactList, stored: Stored | None, wanted: Wanted, *, is_tried: bool = True
    ) -> Stored | Settled | None:
        """Title and address as in `one`; the account that was seen in `stored`, as wanted, for all lists that share it."""
        check_list(one)
        settled: Stored | Settled | None = None
        if stored is not None and wanted.says_anything():
            settled = self._settling.edit(one.list_id, stored, wanted, is_tried=is_tried)
            self._lists.change_account(stored, settled.account, settled.secret, self._who)
        elif wanted.says_anything():
            settled = self._settling.add(one.list_id, one.bounce_email, wanted, is_tried=is_tried)
            self._lists.give_account(replace(one, account=settled.account.name), *_new_parts(settled), self._who)
        self._lists.change_list(one, self._who)
        return settled


def _new_parts(settled: Stored | Settled) -> tuple[BounceAccount | None, str | None]:
    """The account and the secret to be stored; none where an account is shared."""
    return (settled.account, settled.secret) if isinstance(settled, Settled) else (None, None)
