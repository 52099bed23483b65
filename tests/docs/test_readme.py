"""Both READMEs say what is there: every setting, every folder, every make target, and links that lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gamekit.config import Settings

ROOT = Path(__file__).parents[2]
READMES = ["README.md", "README.zh-Hant.md"]


@pytest.mark.parametrize("name", READMES)
def test_every_setting_is_in_the_table(name: str) -> None:
    """A setting that nobody can find is not one, and one that is gone is not promised."""
    text = (ROOT / name).read_text(encoding="utf-8")
    named = set(re.findall(r"GAMEKIT_[A-Z_]+", text))
    assert named == {f"GAMEKIT_{field.upper()}" for field in Settings.model_fields}


@pytest.mark.parametrize("name", READMES)
def test_the_map_of_folders_is_true(name: str) -> None:
    """Every folder on the map exists, and every part of gamekit is on it."""
    text = (ROOT / name).read_text(encoding="utf-8")
    rows = [re.findall(r"`([^`]+)/`", line.split("|")[1]) for line in text.splitlines() if line.startswith("| `")]
    mapped = {
        folder if (ROOT / folder).exists() else f"gamekit/{folder}"
        for row in rows
        for folder in row
        if "<" not in folder
    }
    missing = {folder for folder in mapped if not (ROOT / folder).is_dir()}
    assert missing == set()
    parts = {f"gamekit/{path.parent.name}" for path in (ROOT / "gamekit").glob("*/__init__.py")}
    assert parts <= mapped


@pytest.mark.parametrize("name", READMES)
def test_links_and_make_targets_exist(name: str) -> None:
    """A link to a file leads to it, and a target named after `make` is one."""
    text = (ROOT / name).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("https://") or (ROOT / link).exists(), link
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE)) <= targets
