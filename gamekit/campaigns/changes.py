"""What changed between two campaign documents, field by field. Prizes are matched by their keys, not their places."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from gamekit.campaigns.document import CampaignDocument
from gamekit.campaigns.sentences import shorten

_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs: its dotted path (`prizes.latte.weight`), and its values as JSON; None where absent.

    A prize that came or went is one change. The path `prizes` alone holds the keys in their order, where that changed.
    """

    field: str
    before: Any
    after: Any


def diff(old: CampaignDocument | None, new: CampaignDocument | None) -> tuple[Change, ...]:
    """Every difference between two documents, in the file's order; None is the document that does not exist."""
    return tuple(_changes(_by_key(old), _by_key(new)))


def render_diff(changes: tuple[Change, ...]) -> str:
    """The changes for a terminal, one a line: `+` came, `-` went, `~` changed."""
    if not changes:
        return "No changes.\n"
    width = min(40, max(len(change.field) for change in changes))
    lines = []
    for change in changes:
        if change.before is None:
            mark, text = "+", _shown(change.after)
        elif change.after is None:
            mark, text = "-", _shown(change.before)
        else:
            mark, text = "~", f"{_shown(change.before)} → {_shown(change.after)}"
        lines.append(f"{mark} {change.field:<{width}}  {text}\n")
    return "".join(lines)


def _by_key(document: CampaignDocument | None) -> dict[str, Any]:
    if document is None:
        return {}
    fields = document.model_dump(mode="python", exclude_defaults=True)
    prizes = fields.pop("prizes")
    return fields | {"prizes": {prize["key"]: prize for prize in prizes}}


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for name in [*new, *(name for name in old if name not in new)]:
        if name == "prizes":
            yield from _prizes(old.get(name, {}), new.get(name, {}))
        else:
            yield from _differ(name, old.get(name), new.get(name))


def _prizes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for key in [*new, *(key for key in old if key not in new)]:
        if key in old and key in new:
            yield from _differ(f"prizes.{key}", old[key], new[key])
        else:
            yield Change(f"prizes.{key}", _json(old.get(key)), _json(new.get(key)))
    if [key for key in old if key in new] != [key for key in new if key in old]:
        yield Change("prizes", list(old), list(new))


def _differ(where: str, old: Any, new: Any) -> Iterator[Change]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*new, *(key for key in old if key not in new)]:
            yield from _differ(f"{where}.{_name(key)}", old.get(key), new.get(key))
    elif not _same(old, new):
        yield Change(where, _json(old), _json(new))


def _name(key: str) -> str:
    plain = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if plain else json.dumps(key, ensure_ascii=False)


def _same(old: Any, new: Any) -> bool:
    # One moment may be written with two offsets; and 1, 1.0 and true are equal to Python only.
    if isinstance(old, datetime) or isinstance(new, datetime):
        return bool(old == new)
    if isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        return len(old) == len(new) and all(map(_same, old, new))
    return bool(
        _json(old) == _json(new) and json.dumps(_json(old), sort_keys=True) == json.dumps(_json(new), sort_keys=True)
    )


def _json(value: Any) -> Any:
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _json(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(inner) for inner in value]
    return value


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return shorten(
            ", ".join(f"{key} {json.dumps(inner, ensure_ascii=False)}" for key, inner in value.items()), _SHOWN
        )
    return shorten(json.dumps(value, ensure_ascii=False), _SHOWN)
