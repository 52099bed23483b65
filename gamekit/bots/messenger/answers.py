"""What Messenger's answers mean for a delivery: one table, pure.

Source: Messenger Platform, error codes, 2026-06-25; rate limits, 2026-03-23.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gamekit.deliveries.adapter import SendResult, Verdict

RATE_HOLD = 5.0
TOKEN_HOLD = 60.0
RESTRICTED_HOLD = 900.0
_FINAL = {
    (10, 2018278): Verdict.WINDOW_CLOSED,
    (10, 2534022): Verdict.WINDOW_CLOSED,
    (200, 1545041): Verdict.UNREACHABLE,
    (100, 2018001): Verdict.REJECTED,
    (10, 1893015): Verdict.OPTED_OUT,
    (4, 2018354): Verdict.REJECTED,
}
_TEMPORARY_CODES = (1, 2, 1200)
_RATE_CODES = (4, 32, 613)


@dataclass(frozen=True, slots=True)
class GraphError:
    """The `error` object of a Graph answer."""

    code: int
    subcode: int
    message: str


def error_of(answer: object) -> GraphError | None:
    """The Graph error an answer holds, if it holds one."""
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict) or type(error.get("code")) is not int:
        return None
    subcode = error.get("error_subcode")
    return GraphError(error["code"], subcode if type(subcode) is int else 0, str(error.get("message", ""))[:200])


def judge(status: int, answer: object, headers: Mapping[str, str]) -> SendResult:
    """The result that an HTTP answer other than success stands for."""
    error = error_of(answer)
    if error is None:
        return _without_error(status, headers)
    reason = f"Messenger answered {error.code}/{error.subcode}: {error.message}"
    match error:
        case GraphError(190):
            return SendResult(Verdict.RETRY, reason, hold_seconds=TOKEN_HOLD, counts=False, token_refused=True)
        case GraphError(10, 1893063) | GraphError(2022):
            # The Page is restricted: nothing at all is to be sent for now.
            return SendResult(Verdict.RETRY, reason, hold_seconds=RESTRICTED_HOLD, counts=False)
        case GraphError(551):
            return SendResult(Verdict.UNREACHABLE, reason)
        case GraphError(2, 2018344):
            return SendResult(Verdict.REJECTED, reason)
    if final := _FINAL.get((error.code, error.subcode)):
        return SendResult(final, reason)
    if error.code in _RATE_CODES or status == 429:
        return SendResult(Verdict.RETRY, reason, hold_seconds=_retry_after(headers))
    if error.code in _TEMPORARY_CODES or status >= 500:
        return SendResult(Verdict.RETRY, reason)
    return SendResult(Verdict.REJECTED, reason)


def _without_error(status: int, headers: Mapping[str, str]) -> SendResult:
    reason = f"Messenger answered {status}"
    if status == 429:
        return SendResult(Verdict.RETRY, reason, hold_seconds=_retry_after(headers))
    if status in (502, 504) or status < 400:
        # A gateway lost the answer, or the answer is not readable: whether it was sent, nobody says.
        return SendResult(Verdict.UNKNOWN, f"{reason} without saying whether it was sent.")
    if status >= 500 or status == 408:
        return SendResult(Verdict.RETRY, reason)
    return SendResult(Verdict.REJECTED, reason)


def _retry_after(headers: Mapping[str, str]) -> float:
    wanted = headers.get("retry-after", "")
    return float(min(int(wanted), 3_600)) if wanted.isascii() and wanted.isdigit() and len(wanted) < 9 else RATE_HOLD


def message_id(answer: Any) -> str | None:
    """The `message_id` of a successful Send API answer."""
    found = answer.get("message_id") if isinstance(answer, dict) else None
    return found if isinstance(found, str) else None
