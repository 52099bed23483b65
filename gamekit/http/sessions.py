"""Values only this server can read or make, with an end: for cookies and for links.

AES-256-GCM (NIST SP 800-38D) with a random nonce. Encrypted and not only signed, because they travel through
addresses, chats and previews that are not ours, and say who someone is.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.responses import Response

from gamekit.entropy import Entropy

_NONCE = 12
LONGEST = 4096
"""Characters; a browser keeps no longer cookie."""


class Sealer:
    """Seals short byte strings into URL-safe text under one key."""

    def __init__(self, key: bytes, entropy: Entropy) -> None:
        """`key`: 32 bytes, for one purpose only (`Vault.key`)."""
        self._aes = AESGCM(key)
        self._entropy = entropy

    def seal(self, secret: bytes) -> str:
        nonce = self._entropy.bytes(_NONCE)
        return urlsafe_b64encode(nonce + self._aes.encrypt(nonce, secret, None)).rstrip(b"=").decode()

    def find_secret(self, sealed: str) -> bytes | None:
        """What was sealed; None where this text was not made with this key, or was changed."""
        if len(sealed) > LONGEST or not sealed.isascii():
            return None
        try:
            raw = urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
            # One text per secret: base64 readers ignore stray characters and spare bits, and would accept variants.
            if urlsafe_b64encode(raw).rstrip(b"=").decode() != sealed:
                return None
            return self._aes.decrypt(raw[:_NONCE], raw[_NONCE:], None)
        except (NotBase64, ValueError, InvalidTag):
            return None


def keep_cookie(response: Response, name: str, value: str, *, path: str, seconds: int, secure: bool) -> None:
    """Set a cookie that no script can read and no other site's request carries (RFC 6265bis, `SameSite=Lax`)."""
    response.set_cookie(name, value, max_age=seconds, path=path, secure=secure, httponly=True, samesite="lax")
