"""[Test Bounce Settings] on what a person typed, which is stored nowhere before it is saved."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from services.console.backing import backing
from services.console.sessions import person
from services.fetcher.lists import BounceAccount
from services.fetcher.lists_sql import Stored
from services.fetcher.login_factory import with_tokens
from services.fetcher.settling import Settled, Settling, TrialFailed, Wanted
from services.fetcher.trial import Trial
from shared.errors import ConfigurationError

KEPT_FOR_S: Final = 900
_BOUND_TO: Final = ("bounce_email", "server", "user", "protocol", "advanced", "ca_pem")


@dataclass(frozen=True, slots=True, repr=False)
class TypedPassword:
    """What was typed now, or for the test before: the page holds that sealed, so that it need not be typed again.

    Sealed for this person and these settings, and for a quarter of an hour: with another server in the form it does not open.
    """

    text: str

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Empty when none was given."""
        typed = str(values.get("password", ""))
        return cls(typed or _opened(str(values.get("kept_password", "")), values))

    @property
    def is_given(self) -> bool:
        """Whether there is one."""
        return bool(self.text)

    def ask(self, account: BounceAccount) -> str:
        """For Settling. Raises ConfigurationError when nobody typed one."""
        if not self.text:
            raise ConfigurationError(
                f"Type the Bounce Email Password of {account.user} at {account.host}. One that is stored already is only sent "
                "the way it was stored for."
            )
        return self.text

    def sealed(self, values: Mapping[str, Any]) -> str:
        """For a hidden field; empty when there is none."""
        if not self.text:
            return ""
        return backing().open_box().seal(f"{int(time.time())}\n{self.text}", _purpose(values))


def settling(password: TypedPassword) -> Settling:
    """As the command line has it, but reaching only what people of the console may reach."""
    parts = backing()
    make_login = with_tokens(parts.engine, parts.open_box)
    return Settling(parts.lists, parts.open_box, password.ask, reach=parts.reach, make_login=make_login)


def trial_of(list_id: str, bounce_email: str, stored: Stored | None, wanted: Wanted, password: TypedPassword) -> Trial:
    """Tries what is wanted, and saves nothing. Raises ConfigurationError for what cannot be tried."""
    work = settling(password)
    try:
        if stored is None:
            if wanted.server is None:
                raise ConfigurationError("Fill in the Bounce Email Server Name first.")
            settled: Stored | Settled = work.add(list_id, bounce_email, wanted)
        else:
            settled = work.edit(list_id, stored, wanted) if wanted.says_anything() else stored
    except TrialFailed as exc:
        return exc.trial
    if isinstance(settled, Settled) and settled.trial is not None:
        return settled.trial
    return work.try_stored(settled if isinstance(settled, Stored) else _as_stored(settled))


def _as_stored(settled: Settled) -> Stored:
    return Stored(settled.account, settled.secret, [])


def _opened(sealed: str, values: Mapping[str, Any]) -> str:
    if not sealed:
        return ""
    try:
        at, _, text = backing().open_box().open(sealed, _purpose(values)).partition("\n")
    except ConfigurationError:
        return ""
    return text if time.time() - int(at) <= KEPT_FOR_S else ""


def _purpose(values: Mapping[str, Any]) -> str:
    bound = "\n".join(f"{name}={values.get(name) or ''}" for name in _BOUND_TO)
    return f"a password that was typed\n{person().name}\n{hashlib.sha256(bound.encode()).hexdigest()}"
