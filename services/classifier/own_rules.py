"""A deployment's own rules: a folder of TOML files, read and checked, and read again when it changes."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from services.classifier.ports import LethalMail
from services.classifier.rule import WORDS_FILE, BadRule
from services.classifier.rulebook import with_deployment
from services.classifier.sandbox import ParserUnavailable, Sandbox
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
    try:
        if not path.is_dir():
            raise ConfigurationError(
                f"{folder} is no folder of rules; MAILROOM_RULES_DIR names one that holds .toml files"
            )
        return {file.relative_to(path).as_posix(): _read(file) for file in _rule_files(path)}
    except OSError as exc:
        raise ConfigurationError(f"the rules in {folder} cannot be read: {exc}") from exc


def _rule_files(folder: Path) -> Iterator[Path]:
    """Those of the folder and of the folders in it, links followed, without what begins with a dot."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _rule_files(path)
        elif path.name == WORDS_FILE:
            raise ConfigurationError(
                f"{path}: only the shipped rules have {WORDS_FILE}; write the words into the patterns"
            )
        elif path.suffix == ".toml":
            yield path


def _read(file: Path) -> str:
    """Without the byte order mark that some editors write."""
    content = file.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise ConfigurationError(f"{file}:{line}: not UTF-8: save the file as UTF-8") from exc


class ReloadingSandbox:
    """A sandbox that judges by the folder's rules of today. Rules that are bad are refused, and the running ones stay."""

    def __init__(self, folder: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises ConfigurationError when the folder's rules cannot be used."""
        texts = read_own_rules(folder)
        if folder and not texts:
            log.warning("rules_folder_is_empty", folder=folder)
        self._folder: Final = folder
        self._clock: Final = clock
        self._seen: dict[str, str] | None = texts
        self._refused = ""
        """Why the rules were refused at the last look."""
        self._sandbox: Final = Sandbox(texts)
        self._looked_at = clock()

    def judge(self, raws: Sequence[bytes]) -> list[dict[str, Any] | LethalMail]:
        """Judgements of a batch, by the rules as they are when it begins. Raises ParserUnavailable."""
        if self._folder and self._clock() - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = self._clock()
            self._take_changes()
        return self._sandbox.judge(raws)

    def _take_changes(self) -> None:
        """Texts are compared, not times and sizes: links are swapped, and a change may keep both."""
        try:
            texts = read_texts(self._folder)
            if texts == self._seen:
                return
            self._seen = texts
            with_deployment(texts)
            self._sandbox.take_rules(texts)
        except (ConfigurationError, ParserUnavailable) as exc:
            if not isinstance(exc, BadRule):
                self._seen = None  # a change of the rules is not what mends it: the next look tries again
            if str(exc) != self._refused:
                log.error("rules_refused", folder=self._folder, cause=str(exc))
            self._refused = str(exc)
        else:
            self._refused = ""
            log.info("rules_taken", folder=self._folder, files=len(texts))

    def close(self) -> None:
        """End the parser."""
        self._sandbox.close()
