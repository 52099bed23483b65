"""Turns a win that is owed into what is said to the player, when it is sent: texts and codes are looked up, never copied."""

from __future__ import annotations

from gamekit.campaigns.document import localized
from gamekit.campaigns.models import RunKind
from gamekit.deliveries.message import Coupon, Message, TagAction, Text
from gamekit.deliveries.relay import compose_plain
from gamekit.deliveries.repository import Owed
from gamekit.draws.service import Draws

WON = {"zh-Hant": "恭喜獲得{prize}！", "en": "You won {prize}!"}
WON_CODE = {"zh-Hant": "恭喜獲得{prize}！優惠代碼：{code}", "en": "You won {prize}! Your code: {code}"}
_CHINESE_ZONES = ("Asia/Taipei", "Asia/Hong_Kong", "Asia/Macau")


class WinComposer:
    """Composes deliveries whose body names a draw; any other body says in full what is owed."""

    def __init__(self, draws: Draws) -> None:
        self._draws = draws

    async def __call__(self, owed: Owed) -> Message | TagAction:
        """Raises `LookupError` where the draw is gone (a wiped test run)."""
        plain = compose_plain(owed)
        if plain is not None:
            return plain
        draw_id = str(owed.body["draw"])
        win = await self._draws.locate(draw_id)
        if win is None:
            raise LookupError(f"draw {draw_id} is not in the ledger")
        view, draw = win
        document = view.document
        prize = document.prize(draw["prize"]["key"])
        locale = owed.locale or ("zh-Hant" if document.timezone in _CHINESE_ZONES else None)
        name = localized(prize.name, locale)
        code = draw["coupon"]["code"] if draw["coupon"] else None
        words = localized(prize.message or (WON_CODE if code else WON), locale)
        said = words.replace("{prize}", name).replace("{code}", code or "")
        if view.kind is RunKind.TEST:
            said = f"[TEST] {said}"
        if code is None or " " in code:
            return Text(said)
        return Coupon(title=name, code=code, pre_message=said)
