"""Lists, accounts and trials as other programs read them: of the command line and of the HTTP API alike."""

from typing import Any

from services.fetcher.lists import ContactList
from services.fetcher.lists_sql import Stored
from services.fetcher.trial import Trial


def list_as_json(one: ContactList, stored: Stored | None) -> dict[str, Any]:
    """With its account; never a password."""
    return {
        "list_id": one.list_id,
        "title": one.title,
        "bounce_email": one.bounce_email,
        "account": None if stored is None else _account_as_json(stored),
    }


def _account_as_json(stored: Stored) -> dict[str, Any]:
    account = stored.account
    return {
        "name": account.name,
        "lists": list(stored.lists),
        "server": account.host,
        "port": account.port,
        "user": account.user,
        "has_password": stored.secret is not None,
        "login": account.login,
        "type": account.protocol.value,
        "tls": account.tls.value,
        "has_own_ca": bool(account.ca_pem),
        "folder": account.folder,
        "empty": account.empty,
        "every_minutes": account.interval_s / 60,
        "is_active": account.is_active,
    }


def trial_as_json(name: str, trial: Trial) -> dict[str, Any]:
    """What was tried, what came of it, and the certificate that was refused."""
    endpoint, shown = trial.endpoint, trial.certificate
    return {
        "name": name,
        "ok": trial.error is None,
        "server": endpoint.host if endpoint else None,
        "port": endpoint.port if endpoint else None,
        "tls": endpoint.tls.value if endpoint else None,
        "mails": trial.mails,
        "error": None if trial.error is None else {"class": trial.error.word, "text": str(trial.error)},
        "attempts": [
            {
                "port": attempt.way.port,
                "tls": attempt.way.tls.value,
                "error": attempt.error.word if attempt.error else None,
            }
            for attempt in trial.attempts
        ],
        "certificate": None
        if shown is None
        else {
            "subject": shown.subject,
            "issuer": shown.issuer,
            "names": list(shown.names),
            "not_before": shown.not_before.isoformat(),
            "not_after": shown.not_after.isoformat(),
            "sha256": shown.sha256,
            "pem": shown.pem,
        },
    }
