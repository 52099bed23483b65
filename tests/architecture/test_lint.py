"""Rules of the house that no type checker knows: each is seen to bite, and the tree keeps them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("gamekit", "games", "webviews", "admin")

BANNED = [
    "from datetime import datetime\n\nmoment = datetime.now()",
    "from datetime import UTC, datetime\n\nmoment = datetime.now(UTC)",
    "import datetime\n\nday = datetime.date.today()",
    "import time\n\nmoment = time.time()",
    "import random",
    "from random import choice",
    "import secrets",
    "from os import urandom",
    "from uuid import uuid4",
    "import numpy as np\n\nnumber = np.random.default_rng()",
    "from numpy.random import default_rng",
]


def lint(code: str, where: str) -> str:
    """What ruff says of a piece of code, were it that file."""
    return subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--stdin-filename", where, "-"],
        input=code + "\n",
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout


@pytest.mark.parametrize("code", BANNED)
def test_time_and_chance_come_from_one_place(code: str) -> None:
    """Reading the clock or rolling dice anywhere but in its one module is a lint error."""
    assert "TID251" in lint(code, "gamekit/draws/engine.py")
    assert "TID251" in lint(code, "games/wheel/wheel.py")


@pytest.mark.parametrize(
    ("where", "code"),
    [
        ("gamekit/clock.py", BANNED[1]),
        ("gamekit/entropy.py", "import secrets"),
        ("gamekit/odds/forecast.py", BANNED[-1]),
    ],
)
def test_the_one_place_may(where: str, code: str) -> None:
    """The exception is that module and no other."""
    assert "TID251" not in lint(code, where)


def test_every_test_says_what_it_proves() -> None:
    """A test without a sentence of behaviour does not say what broke when it fails."""
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


def test_nothing_is_left_for_later() -> None:
    """No open ends are shipped."""
    marks = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
    left = [
        f"{path.relative_to(ROOT)}:{number}"
        for package in (*PACKAGES, "tests", "docs")
        for path in (ROOT / package).rglob("*")
        if path.suffix in (".py", ".lua", ".html", ".js", ".css", ".md")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if any(mark in line for mark in marks)
    ]
    assert left == []
