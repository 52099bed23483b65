"""What is wrong with a field, said so that a person can put it right.

Owns the words for faults of shape (missing, wrong type, out of bounds, unknown key). Whatever the input holds is
shown shortened, so a 10 kB id makes no 10 kB answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from gamekit.errors import Problem

SHOWN = 40


def shorten(text: str, length: int = SHOWN) -> str:
    """`text` on one line, cut to `length` characters."""
    text = text[: length + 1].replace("\n", " ").replace("\t", " ")
    return text if len(text) <= length else f"{text[: length - 1]}…"


def path(parts: Sequence[str | int]) -> str:
    """A dotted path such as `prizes[1].weight`."""
    made = ""
    for part in parts:
        made += f"[{part}]" if isinstance(part, int) else f".{shorten(part)}" if made else shorten(part)
    return made


def unknown_key(key: str, known: Sequence[str]) -> str:
    """The sentence for a key nobody knows, with the nearest one that is."""
    near = get_close_matches(key[:SHOWN].lower().replace("-", "_"), known, 1, 0.6)
    return (
        f'is not a known key; did you mean "{near[0]}"?'
        if near
        else f"is not a known key; known are {', '.join(known)}"
    )


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Each fault Pydantic found in a `model`, with its path and what would be right."""
    return [_problem(item["loc"], item["type"], item, model) for item in error.errors(include_url=False)]


def _problem(loc: tuple[int | str, ...], kind: str, item: Any, model: type[BaseModel]) -> Problem:
    parts = [part for part in loc if not (isinstance(part, str) and part[:1] in "<[" and part in _MARKS)]
    where = path(parts)
    owner, right = _deepest(parts, model)
    if kind == "extra_forbidden":
        return Problem(where, unknown_key(str(parts[-1]), list(owner.model_fields)))
    if kind == "value_error":
        return Problem(where, str(item["ctx"]["error"]))
    if "[key]" in loc:
        return Problem(where, 'is not a locale; write one such as "en", "zh-Hant" or "en-US"')
    if kind == "missing":
        return Problem(where, f"is missing; it must be {right}")
    return Problem(where, f"must be {right}, not {_shown(item['input'])}")


_MARKS = frozenset({"<pool>", "<shared>", "<after>", "<on>", "[key]"})
"""What Pydantic puts into a path for its own use: a union's branch, a dict's key."""


def _deepest(parts: Sequence[str | int], model: type[BaseModel]) -> tuple[type[BaseModel], str]:
    """The table the path ends in, and the description of what belongs at its end."""
    owner, inner, right = model, _Inner(model), "a table"
    for part in parts:
        if isinstance(part, str) and inner.model is not None:
            owner, field = inner.model, inner.model.model_fields.get(part)
            if field is None:
                break
            inner, right = _Inner.of(field.annotation), field.description or right
        elif inner.model is None:
            right = inner.description or right
    return owner, right


@dataclass(frozen=True, slots=True)
class _Inner:
    """What a field's type holds: another table, or values with a description of their own."""

    model: type[BaseModel] | None
    description: str | None = None

    @classmethod
    def of(cls, annotation: Any) -> _Inner:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return cls(annotation)
        # A dict's values come after its keys, and only they have a description.
        for inner in reversed(get_args(annotation)):
            found = cls.of(inner)
            if found.model or found.description:
                return found
        notes = (note.description for note in getattr(annotation, "__metadata__", ()) if isinstance(note, FieldInfo))
        return cls(None, next(notes, None))


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f'"{shorten(value)}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, int) and abs(value) >= 10**SHOWN:
        return "such a large number"
    return shorten(str(value))
