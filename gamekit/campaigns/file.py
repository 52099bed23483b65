"""A campaign as a TOML file: reading it, writing it in the order a person would, and what changed between two.

Reading uses the standard library's strict parser, writing tomlkit's quoting and a layout of our own.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

import tomlkit

from gamekit.campaigns.changes import Change, diff, render_diff
from gamekit.campaigns.document import CampaignDocument, Prize
from gamekit.campaigns.schemas import parse_document
from gamekit.errors import InvalidInput, Problem
from gamekit.odds.percent import one_in_text, percent_text

__all__ = ["Change", "diff", "dump_toml", "load", "parse_toml", "render_diff"]

MAX_FILE = 2_000_000
"""Characters (bytes, where it is not decoded yet) in a campaign file; 200 prizes with long texts in ten languages stay below."""
_LINE = 100


def load(text: str | bytes) -> dict[str, Any]:
    """The tables of a TOML file. Raises `InvalidInput` with the line and column of what is no TOML, or no UTF-8."""
    if len(text) > MAX_FILE:
        raise _unreadable(f"is too long; at most {MAX_FILE:,} characters")
    text = _decoded(text) if isinstance(text, bytes) else text
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        last = text.count("\n") + 1, len(text) - text.rfind("\n")
        where = f"(at line {last[0]}, column {last[1]}, the end of the file)"
        raise _unreadable(f"is not valid TOML: {str(error).replace('(at end of document)', where)}") from None
    except ValueError:
        raise _unreadable("holds a number with far too many digits") from None
    except RecursionError:
        raise _unreadable("is nested too deeply") from None


def _decoded(raw: bytes) -> str:
    try:
        # Windows editors put a byte order mark first.
        return raw.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _unreadable(
            f"is not UTF-8: byte 0x{raw[error.start]:02X} on line {line}; save it as UTF-8 text"
        ) from None


def _unreadable(message: str) -> InvalidInput:
    return InvalidInput(f"The file {message}", problems=(Problem("file", message),))


def parse_toml(text: str | bytes) -> CampaignDocument:
    """The campaign in a TOML file. Raises `InvalidInput` naming every fault."""
    return parse_document(load(text))


def dump_toml(document: CampaignDocument) -> str:
    """The document as a TOML file; reading it back gives an equal document. Weights carry their odds as a comment."""
    raw = _with_moments(document)
    prizes = raw.pop("prizes")
    total = document.table().total
    blocks = _blocks(raw, "", sections=("chances", "limits"))
    for prize, fields in zip(document.prizes, prizes, strict=True):
        blocks += _blocks(fields, "prizes", comments={"weight": _odds(prize, total)})
    return "\n\n".join(blocks) + "\n"


def _with_moments(document: CampaignDocument) -> dict[str, Any]:
    """The document as JSON, but with its moments as datetimes, which TOML has."""
    raw = document.to_json()
    for name in ("starts_at", "ends_at"):
        if name in raw:
            raw[name] = getattr(document, name)
    for prize, fields in zip(document.prizes, raw["prizes"], strict=True):
        if prize.release.moments:
            fields["release"]["moments"] = list(prize.release.moments)
    return raw


def _blocks(
    fields: dict[str, Any],
    parent: str,
    *,
    sections: Collection[str] = (),
    comments: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """One block of one-line values, then a block for each table that is named in `sections` or too long for a line."""
    lines, blocks = [f"[[{parent}]]"] if parent else [], []
    for name, value in fields.items():
        line = f"{_key(name)} = {_value(value)}"
        if isinstance(value, dict) and (name in sections or len(line) > _LINE):
            rows = [f"{_key(key)} = {_value(inner, lines=True)}" for key, inner in value.items()]
            blocks.append("\n".join([f"[{parent}.{name}]" if parent else f"[{name}]", *rows]))
        else:
            lines.append(line + (f"  # {comments[name]}" if name in comments else ""))
    return ["\n".join(lines), *blocks]


def _key(name: str) -> str:
    return tomlkit.key(name).as_string()


def _value(value: Any, *, lines: bool = False) -> str:
    """A value as TOML; text with line breaks is written over several lines where `lines` says there is room."""
    if isinstance(value, dict):
        return (
            "{ " + ", ".join(f"{_key(key)} = {_value(inner)}" for key, inner in value.items()) + " }" if value else "{}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(_value(inner) for inner in value) + "]"
    if isinstance(value, str) and lines and "\n" in value:
        # The line break after the opening quotes is not part of the text.
        return '"""\n' + "\n".join(tomlkit.string(line).as_string()[1:-1] for line in value.split("\n")) + '"""'
    return str(tomlkit.item(value).as_string())


def _odds(prize: Prize, total: int) -> str:
    percent = percent_text(prize.weight, total)
    return f"{percent}, {one_in_text(prize.weight, total)}" if 0 < 2 * prize.weight <= total else percent
