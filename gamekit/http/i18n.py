"""Languages: catalogues read from `locale/<language>.po`, and the choice of one for a reader.

A catalogue's ids are keys ("action"), so that no language is the others' source. Adding a .po file adds a language.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from types import MappingProxyType

from babel.messages.pofile import read_po

from gamekit.errors import ConfigError

DEFAULT = "zh-Hant"

Catalogues = Mapping[str, Mapping[str, str]]
"""Language tag -> key -> text."""


def load_catalogues(package: str) -> Catalogues:
    """The texts in a package's `locale` folder; empty where it has none.

    Raises `ConfigError` where a language lacks a key that another has, or leaves it untranslated.
    """
    folder = files(package).joinpath("locale")
    found: dict[str, Mapping[str, str]] = {}
    if folder.is_dir():
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if entry.name.endswith(".po"):
                with entry.open("rb") as file:
                    catalogue = read_po(file)
                read = {str(message.id): str(message.string) for message in catalogue if message.id and message.string}
                found[entry.name.removesuffix(".po")] = MappingProxyType(read)
    keys = {key for texts in found.values() for key in texts}
    for language, texts in found.items():
        if missing := keys - set(texts):
            raise ConfigError(f"{package}/locale/{language}.po lacks {', '.join(sorted(missing))}")
    return MappingProxyType(found)


def choose_language(wanted: Iterable[str | None], available: Sequence[str], default: str = DEFAULT) -> str:
    """The first wanted language that is available, exactly or by its base; else `default` or the first available.

    Every Chinese reader gets the Chinese there is: a page in the other script is read, one in another language is not.
    """
    for tag in wanted:
        if not tag:
            continue
        folded = tag.replace("_", "-").lower()
        for candidate in available:
            if candidate.lower() == folded:
                return candidate
        base = folded.split("-")[0]
        for candidate in available:
            if candidate.lower().split("-")[0] == base:
                return candidate
    return default if default in available or not available else available[0]


def accepted_languages(header: str) -> list[str]:
    """The tags of an Accept-Language header, most wanted first. What cannot be read is left out."""
    ranked: list[tuple[float, int, str]] = []
    for place, item in enumerate(header[:500].split(",")):
        tag, _, weight = item.strip().partition(";q=")
        try:
            quality = float(weight) if weight else 1.0
        except ValueError:
            continue
        if tag and tag != "*" and 0 < quality <= 1:
            ranked.append((-quality, place, tag))
    return [tag for _, _, tag in sorted(ranked)]
