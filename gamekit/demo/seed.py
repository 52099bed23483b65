"""Puts the demo brand into a database: a live campaign with coupon codes. Doing it again changes nothing."""

from __future__ import annotations

import io
from importlib.resources import files

from gamekit.campaigns.document import CampaignDocument
from gamekit.campaigns.file import parse_toml
from gamekit.errors import CampaignNotFound
from gamekit.ids import token
from gamekit.main import Records

CODE_LENGTH = 16
"""80 random bits, so that no code can be guessed from another."""


def demo_campaign() -> CampaignDocument:
    """The demo brand's campaign."""
    return parse_toml(files(__package__).joinpath("summer-wheel.toml").read_bytes())


async def seed(records: Records) -> None:
    """The demo brand's campaign, published, with full pools of codes."""
    document = demo_campaign()
    try:
        await records.campaigns.get(document.slug)
    except CampaignNotFound:
        await records.campaigns.apply(document)
        for prize in document.prizes:
            if prize.codes == "pool":
                codes = "\n".join(token(records.entropy, CODE_LENGTH).upper() for _ in range(prize.stock or 0))
                await records.coupons.import_codes(document.slug, prize.key, io.BytesIO(codes.encode()))
        await records.campaigns.publish(document.slug)
