"""Where figures go: the table a person reads, `var/bench.json`, and the tables of `docs/performance.md`.

No figure is ever typed by hand: `python -m tests.bench.report` writes what `var/bench.json` holds into the page.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.bench.goals import GOALS
from tests.bench.samples import Figure

ROOT = Path(__file__).parents[2]
FILE = ROOT / "var" / "bench.json"
PAGE = ROOT / "docs" / "performance.md"


def save(file: Path, figures: Iterable[Figure], facts: Mapping[str, Any]) -> None:
    """Writes the figures over those of the same name; others in the file stay, each with the facts it was taken with."""
    kept: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    raw: dict[str, Any] = kept.get("raw", {})
    for figure in figures:
        raw[figure.key] = raw_figure(figure) | dict(facts)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(ratios(raw) | {"raw": raw}, indent=2, ensure_ascii=False) + "\n", "utf-8")


def ratios(raw: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The ratios as `var/bench.json` has them at its top, in the order of the goals."""
    found: dict[str, Any] = {}
    for key in GOALS:
        if key in raw:
            group, _, part = key.partition(".")
            if part:
                found.setdefault(group, {})[part] = raw[key]["ratio"]
            else:
                found[key] = raw[key]["ratio"]
    return found


def raw_figure(figure: Figure) -> dict[str, Any]:
    return {
        "ratio": _rounded(figure.ratio),
        "ratios": [_rounded(ratio) for ratio in figure.ratios],
        "over": figure.over,
        "under": figure.under,
        "unit": figure.unit,
        "samples": [[_rounded(one), _rounded(other)] for one, other in figure.pairs],
        **figure.notes,
    }


def table(raw: Mapping[str, Mapping[str, Any]]) -> str:
    """Goal, ratio and spread for a terminal."""
    lines = [f"{'':2}{'ratio':>9} {'spread':>17} {'goal':>6}  what"]
    for key, goal in GOALS.items():
        if key in raw:
            found = raw[key]
            mark = "✓" if goal.holds(found["ratio"]) else "✗"
            spread = f"{min(found['ratios']):.4g} … {max(found['ratios']):.4g}"
            lines.append(f"{mark} {found['ratio']:>9.4g} {spread:>17} {goal!s:>6}  {goal.words}")
    return "\n".join(lines)


def page(text: str, found: Mapping[str, Any]) -> str:
    """The page with its tables made anew from `var/bench.json`."""
    raw: dict[str, dict[str, Any]] = found["raw"]
    text = _between(text, "ratios", _ratio_table(raw))
    text = _between(text, "samples", _sample_table(raw))
    return _between(text, "machine", _machine_table(raw))


def _ratio_table(raw: Mapping[str, Mapping[str, Any]]) -> str:
    rows = ["| ratio | goal | median | spread | |", "|---|---:|---:|---:|---|"]
    for key, goal in GOALS.items():
        if key in raw:
            ratio, several = raw[key]["ratio"], raw[key]["ratios"]
            met = "met" if goal.holds(ratio) else "**not met**"
            rows.append(f"| {goal.words} | {goal} | {ratio:.4g} | {min(several):.4g} … {max(several):.4g} | {met} |")
    return "\n".join(rows)


def _sample_table(raw: Mapping[str, Mapping[str, Any]]) -> str:
    rows = ["| over | samples | under | samples | unit |", "|---|---|---|---|---|"]
    for key in GOALS:
        if key in raw:
            found = raw[key]
            over, under = (" · ".join(f"{pair[side]:,.5g}" for pair in found["samples"]) for side in (0, 1))
            rows.append(f"| {found['over']} | {over} | {found['under']} | {under} | {found['unit']} |")
    return "\n".join(rows)


def _machine_table(raw: Mapping[str, Mapping[str, Any]]) -> str:
    seen: dict[str, list[str]] = {}
    for key in GOALS:
        if key in raw:
            found = raw[key]
            machine = dict(found["machine"])
            libraries = ", ".join(f"{name} {number}" for name, number in machine.pop("libraries").items())
            facts = [f"{name.replace('_', ' ')}: {value}" for name, value in machine.items()]
            sheet = "\n".join(f"- {fact}" for fact in [*facts, libraries, f"effort: {found['effort']}"])
            seen.setdefault(sheet, []).append(key)
    if len(seen) == 1:
        return next(iter(seen))
    return "\n\n".join(f"{', '.join(f'`{key}`' for key in keys)}:\n\n{sheet}" for sheet, keys in seen.items())


def _between(text: str, name: str, content: str) -> str:
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"The page has no place for {name}.")
    return f"{before}{begin}{content}\n{end}{after}"


def _rounded(number: float) -> float:
    return float(f"{number:.5g}")


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8"), json.loads(FILE.read_text("utf-8"))), "utf-8")
