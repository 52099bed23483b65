"""The gate: a cache of the ledger in Redis that decides fast. One Lua file per atomic transition."""

from gamekit.draws.gate.gate import (
    Ask,
    Decided,
    Gate,
    PlayerTruth,
    Refused,
    Replies,
    Reply,
    Reserved,
    Shared,
    Terms,
    Unknown,
)

__all__ = [
    "Ask",
    "Decided",
    "Gate",
    "PlayerTruth",
    "Refused",
    "Replies",
    "Reply",
    "Reserved",
    "Shared",
    "Terms",
    "Unknown",
]
