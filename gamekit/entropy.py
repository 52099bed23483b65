"""The one place that makes unpredictable bytes. Everything else is handed an `Entropy`."""

from __future__ import annotations

import secrets
from typing import Protocol


class Entropy(Protocol):
    """A source of unpredictable bytes."""

    def bytes(self, length: int) -> bytes: ...


class SystemEntropy:
    """The operating system's generator."""

    def bytes(self, length: int) -> bytes:
        return secrets.token_bytes(length)
