"""Secrets at rest, and keys for signing, all derived from GAMEKIT_SECRET_KEY."""

from __future__ import annotations

from base64 import urlsafe_b64encode

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gamekit.errors import ConfigError


class Vault:
    """Encrypts and decrypts small secrets, and derives one key per purpose (HKDF, RFC 5869)."""

    def __init__(self, secret_key: str) -> None:
        self._secret = secret_key.encode()
        self._fernet = Fernet(urlsafe_b64encode(self.key("at rest")))

    def key(self, purpose: str) -> bytes:
        """32 bytes for one purpose; keys of different purposes tell nothing of each other."""
        return HKDF(SHA256(), length=32, salt=None, info=b"gamekit " + purpose.encode()).derive(self._secret)

    def seal(self, secret: bytes) -> bytes:
        """`secret`, encrypted and authenticated."""
        return self._fernet.encrypt(secret)

    def unseal(self, sealed: bytes) -> bytes:
        """What was sealed. Raises `ConfigError` where it was sealed under another secret key."""
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken as error:
            raise ConfigError(
                "GAMEKIT_SECRET_KEY is not the key this database's secrets were encrypted with; set the earlier key"
            ) from error
