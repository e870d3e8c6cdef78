"""A deployment's own rules: a folder of TOML files, read and checked, and read again when it changes."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from services.classifier.ports import LethalMail
from services.classifier.rule import WORDS_FILE, BadRule
from services.classifier.rulebook import read_folder, with_deployment
from services.classifier.sandbox import Sandbox
from shared.errors import ConfigurationError

LOOK_EVERY_S: Final = 2.0

log = structlog.get_logger(__name__)


def read_own_rules(folder: str) -> dict[str, str]:
    """The texts of the folder's files, checked; {} for no folder. Raises ConfigurationError."""
    texts = read_texts(folder)
    with_deployment(texts)
    return texts


def read_texts(folder: str) -> dict[str, str]:
    """The texts of the folder's files by their names, unchecked. Raises ConfigurationError."""
    if not folder:
        return {}
    path = Path(folder)
    if not path.is_dir():
        raise ConfigurationError(f"{folder} is no folder of rules; MAILROOM_RULES_DIR names one that holds .toml files")
    if words := next(path.rglob(WORDS_FILE), None):
        raise ConfigurationError(
            f"{words}: only the shipped rules have {WORDS_FILE}; write the words into the patterns"
        )
    try:
        return read_folder(path)
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"the rules in {folder} cannot be read: {exc}") from exc


class ReloadingSandbox:
    """A sandbox that judges by the folder's rules of today. Rules that are bad are refused, and the running ones stay."""

    def __init__(self, folder: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises ConfigurationError when the folder's rules cannot be used."""
        self._folder: Final = folder
        self._clock: Final = clock
        self._seen: tuple[tuple[str, int, int], ...] = ()
        self._seen = self._fingerprint()
        self._sandbox: Final = Sandbox(read_own_rules(folder))
        self._looked_at = clock()

    def judge(self, raws: Sequence[bytes]) -> list[dict[str, Any] | LethalMail]:
        """Judgements of a batch, by the rules as they are when it begins. Raises ParserUnavailable."""
        if self._folder and self._clock() - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = self._clock()
            self._take_changes()
        return self._sandbox.judge(raws)

    def _take_changes(self) -> None:
        fingerprint = self._fingerprint()
        if fingerprint == self._seen:
            return
        self._seen = fingerprint
        try:
            texts = read_own_rules(self._folder)
        except (BadRule, ConfigurationError) as exc:
            log.error("rules_refused", folder=self._folder, cause=str(exc))
            return
        self._sandbox.take_rules(texts)
        log.info("rules_taken", folder=self._folder, files=len(texts))

    def _fingerprint(self) -> tuple[tuple[str, int, int], ...]:
        """Names, sizes and times of the files; () for a folder that is away."""
        if not self._folder:
            return ()
        found = []
        try:
            paths = sorted(Path(self._folder).rglob("*.toml"))
        except OSError:
            return self._seen  # a folder in it went away while it was listed; the next look tells
        for path in paths:
            try:
                status = path.stat()
            except OSError:
                continue  # deleted between the listing and the look
            found.append((str(path), status.st_size, status.st_mtime_ns))
        return tuple(found)

    def close(self) -> None:
        """End the child."""
        self._sandbox.close()
