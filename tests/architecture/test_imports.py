"""The import contracts hold, and each one bites: a planted violation is caught by the contract that claims to catch it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("gamekit", "games", "webviews", "admin")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
CONTRACTS: dict[str, dict[str, Any]] = {contract["id"]: contract for contract in SETTINGS["contracts"]}

PLANTED = [
    ("layers", "gamekit/errors.py", "from gamekit import ids, storage"),
    ("layers", "gamekit/odds/table.py", "import gamekit.draws.engine"),
    ("layers", "gamekit/storage/sql.py", "import gamekit.campaigns.models"),
    ("layers", "gamekit/deliveries/relay.py", "import gamekit.bots.triggers"),
    ("layers", "gamekit/http/errors.py", "import gamekit.players.service"),
    ("layers", "gamekit/draws/engine.py", "import gamekit.testing.servers"),
    ("layers", "webviews/__init__.py", "import admin"),
    ("layers", "webviews/__init__.py", "import games.wheel"),
    ("layers", "gamekit/api/keys.py", "import gamekit.bots.triggers"),
    ("games-import-plugin-only", "games/wheel/__init__.py", "import gamekit.draws.engine"),
    ("games-import-plugin-only", "games/wheel/__init__.py", "import starlette"),
    ("games-are-independent", "games/wheel/__init__.py", "import games.planted"),
    ("redis", "gamekit/campaigns/service.py", "import redis"),
    ("redis", "webviews/__init__.py", "from redis.asyncio import Redis"),
    ("numpy", "gamekit/draws/engine.py", "import numpy"),
    ("starlette", "gamekit/campaigns/service.py", "from starlette.responses import Response"),
    ("starlette", "gamekit/bots/triggers.py", "import starlette"),
    ("odds-are-pure", "gamekit/odds/table.py", "import sqlalchemy"),
    ("odds-are-pure", "gamekit/odds/table.py", "import gamekit.storage.sql"),
    ("engine-without-pages", "gamekit/api/keys.py", "import webviews"),
    ("engine-without-pages", "gamekit/registry.py", "import games.wheel"),
]


def lint(tree: Path, contract: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            Path(sys.executable).with_name("lint-imports"),
            "--config",
            "pyproject.toml",
            "--no-cache",
            "--contract",
            contract,
        ],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the packages that a test may spoil."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "static"))
    return tmp_path


@pytest.mark.parametrize("contract", CONTRACTS)
def test_the_tree_keeps_the_contract(contract: str) -> None:
    """The code as it stands breaks no import contract."""
    result = lint(ROOT, contract)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(("contract", "file", "line"), PLANTED)
def test_a_planted_violation_is_caught(tree: Path, contract: str, file: str, line: str) -> None:
    """The contract that claims to forbid an import reports it where it was planted."""
    (tree / "games" / "planted").mkdir()
    (tree / "games" / "planted" / "__init__.py").write_text('"""Another game."""\n', encoding="utf-8")
    path = tree / file
    path.write_text(path.read_text(encoding="utf-8") + f"\n{line}\n", encoding="utf-8")
    result = lint(tree, contract)
    assert result.returncode == 1, result.stdout + result.stderr
    importer = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    assert f"{importer} -> " in result.stdout


def test_every_contract_has_a_planted_violation() -> None:
    """No contract is believed that was never seen to bite."""
    assert {contract for contract, _, _ in PLANTED} == CONTRACTS.keys()


def test_every_module_has_its_layer() -> None:
    """A new module of gamekit must be given a place, or the layers would not see it."""
    named = {
        name.strip(" ()").removeprefix("gamekit.")
        for layer in CONTRACTS["layers"]["layers"]
        for name in layer.replace("|", ":").split(":")
    }
    found = {path.stem if path.is_file() else path.name for path in (ROOT / "gamekit").iterdir()}
    assert found - {"__init__", "__pycache__", "py.typed"} <= named
