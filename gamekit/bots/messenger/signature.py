r"""Messenger's webhook signature: HMAC-SHA256 with the app secret over the raw bytes.

Meta signs the body as it sends it, with non-ASCII escaped as `\u00e4`; JSON parsed and written again has other bytes
(Messenger Platform, webhooks, 2026-05-05).
"""

from __future__ import annotations

import hmac
from hashlib import sha256

PREFIX = b"sha256="


def sign(body: bytes, app_secret: str) -> str:
    """The value of X-Hub-Signature-256 for `body`."""
    return (PREFIX + hmac.new(app_secret.encode(), body, sha256).hexdigest().encode()).decode()


def is_signed(body: bytes, app_secret: str, header: bytes) -> bool:
    """Whether `header` is the signature of exactly these bytes; compared in constant time."""
    return hmac.compare_digest(sign(body, app_secret).encode(), header)
