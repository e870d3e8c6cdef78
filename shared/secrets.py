"""Passwords and tokens at rest: sealed with a key that is not in the database, and bound to what they are for.

AES-256-GCM with the purpose as associated data rather than Fernet, which has none: whoever can write to the database, but has
no key, can neither copy a sealed password to another row nor have it sent elsewhere, or in the clear, by changing its row.

A sealed text is `v1.KEY.DATA`: KEY names the key (the beginning of a hash of it), DATA is nonce and ciphertext in base64.
"""

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.environment import Environment
from shared.errors import ConfigurationError

KEY_VARIABLE: Final = "MAILROOM_SECRET_KEY"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_SEPARATORS: Final = re.compile(r"[\s,]+")
_ADVICE: Final = (
    f"make one with `mailroom secret-key`, and give it as {KEY_VARIABLE} or in a file as {KEY_VARIABLE}_FILE; what "
    "`mailroom up` keeps is in its mailroom.key"
)


class CannotOpen(ConfigurationError):
    """What is sealed cannot be opened: its key is missing, or it was not sealed for this."""


def new_key() -> str:
    """256 random bits, as the environment variable takes them."""
    return base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode("ascii")


class SecretBox:
    """The first key seals, all open. Neither its text nor its `repr` holds a key."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Keys of 32 bytes; at least one."""
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._first = _key_id(keys[0])

    def seal(self, text: str, purpose: str) -> str:
        """Never the same twice. `purpose` says what it is for, and has to be said again to open it; its first line names it."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._ciphers[self._first].encrypt(nonce, text.encode(), purpose.encode())
        return f"v1.{self._first}.{base64.urlsafe_b64encode(sealed).decode('ascii')}"

    def open(self, sealed: str, purpose: str) -> str:
        """Raises CannotOpen."""
        key_id, data = _parts(sealed, purpose)
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise CannotOpen(
                f"the secret of {_named(purpose)} was sealed by a key that is not in {KEY_VARIABLE}: "
                "add the old key after the new one, separated by a comma, or set the secret anew"
            )
        try:
            return cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], purpose.encode()).decode()
        except (InvalidTag, ValueError):
            raise CannotOpen(
                f"the secret of {_named(purpose)} was damaged, or sealed for something else: set it anew. "
                "Was its row changed by hand?"
            ) from None

    def is_stale(self, sealed: str) -> bool:
        """Whether another key than the first sealed it."""
        return not sealed.startswith(f"v1.{self._first}.")


def is_key_set(variables: Mapping[str, str]) -> bool:
    """Whether a key is given at all."""
    return any(variables.get(name) for name in (KEY_VARIABLE, f"{KEY_VARIABLE}_FILE"))


def open_secret_box(variables: Mapping[str, str]) -> SecretBox:
    """With the keys of MAILROOM_SECRET_KEY or MAILROOM_SECRET_KEY_FILE. Raises ConfigurationError, which repeats no key."""
    environment = Environment(variables)
    text = environment.text(KEY_VARIABLE, "")
    environment.check()
    words = [word for word in _SEPARATORS.split(text) if word]
    if not words:
        raise ConfigurationError(f"{KEY_VARIABLE} is not set, and passwords are only kept sealed: {_ADVICE}")
    return SecretBox([_read_key(word, number, len(words)) for number, word in enumerate(words, 1)])


def _read_key(word: str, number: int, of: int) -> bytes:
    try:
        key = base64.b64decode(word.translate(str.maketrans("-_", "+/")), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        which = f"key {number} of {of} in {KEY_VARIABLE}" if of > 1 else KEY_VARIABLE
        raise ConfigurationError(f"{which} is no key: it is 32 bytes in base64, 44 characters; {_ADVICE}")
    return key


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"mailroom key\n" + key).hexdigest()[:8]


def _named(purpose: str) -> str:
    return purpose.partition("\n")[0]


def _parts(sealed: str, purpose: str) -> tuple[str, bytes]:
    version, _, rest = sealed.partition(".")
    key_id, _, data = rest.partition(".")
    try:
        decoded = base64.urlsafe_b64decode(data)
    except (binascii.Error, ValueError):
        decoded = b""
    if version != "v1" or len(decoded) < _NONCE_BYTES:
        raise CannotOpen(f"the secret of {_named(purpose)} is not in a form that this version knows: set it anew")
    return key_id, decoded
