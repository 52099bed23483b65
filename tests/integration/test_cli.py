"""The command line as an operator uses it, and its errors as an operator reads them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gamekit.campaigns.file import parse_toml
from gamekit.config import load_settings
from gamekit.main import open_records
from gamekit.testing.engine import SECRET, SetClock, process
from gamekit.testing.servers import finished, free_port

FILE = """
slug = "spring"
game = "wheel"
timezone = "Asia/Taipei"
name = { "zh-Hant" = "春天", en = "Spring" }

[chances]
total = 5

[[prizes]]
key = "latte"
kind = "coupon"
codes = "pool"
weight = 500
name = { "zh-Hant" = "拿鐵", en = "Latte" }

[[prizes]]
key = "thanks"
kind = "nothing"
fallback = true
weight = 9500
name = { "zh-Hant" = "銘謝惠顧", en = "Thank you" }
"""

# One interpreter that runs many commands, each with its own environment and streams: starting Python takes the most time.
PROGRAM = """
import contextlib, io, json, os, sys, traceback
from gamekit.cli import main
asked_for, answers = sys.stdin, sys.stdout
for line in asked_for:
    asked = json.loads(line)
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv, sys.stdin = ["gamekit", *asked["arguments"]], io.StringIO(asked["stdin"])
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        except BaseException:
            traceback.print_exc()
            code = 1
    print(json.dumps({"code": code, "out": out.getvalue(), "err": err.getvalue()}), file=answers, flush=True)
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


@dataclass(slots=True)
class Shell:
    """Runs commands with only these variables in their environment."""

    interpreter: subprocess.Popen[str]
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: object, stdin: str = "", **changes: str) -> Ran:
        environment = self.environment | {f"GAMEKIT_{name.upper()}": value for name, value in changes.items()}
        asked = {"arguments": [str(one) for one in arguments], "environment": environment, "stdin": stdin}
        assert self.interpreter.stdin is not None
        assert self.interpreter.stdout is not None
        self.interpreter.stdin.write(json.dumps(asked) + "\n")
        self.interpreter.stdin.flush()
        ran = Ran(**json.loads(self.interpreter.stdout.readline()))
        assert "Traceback" not in ran.err, ran.err
        return ran

    def fails(self, *arguments: object, **options: str) -> str:
        """What a command says on stderr that ends with 2 and prints nothing."""
        ran = self(*arguments, **options)
        assert (ran.code, ran.out) == (2, ""), ran
        return ran.err


@pytest.fixture(scope="module")
def interpreter() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        yield running
        assert running.stdin is not None
        running.stdin.close()


@pytest.fixture
def shell(interpreter: subprocess.Popen[str], sql_url: str, redis_url: str, tmp_path: Path) -> Shell:
    """A shell on each database in turn, migrated."""
    return _shell(interpreter, tmp_path, GAMEKIT_DATABASE_URL=sql_url, GAMEKIT_REDIS_URL=redis_url)


@pytest.fixture
def lite(interpreter: subprocess.Popen[str], sqlite_url: str, tmp_path: Path) -> Shell:
    """A shell on SQLite, migrated."""
    return _shell(interpreter, tmp_path, GAMEKIT_DATABASE_URL=sqlite_url)


def _shell(interpreter: subprocess.Popen[str], folder: Path, **environment: str) -> Shell:
    base = {"PATH": os.environ["PATH"], "GAMEKIT_SECRET_KEY": SECRET, "GAMEKIT_DATA_DIR": str(folder / "data")}
    return Shell(interpreter, base | environment)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A campaign file."""
    path = tmp_path / "spring.toml"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_a_missing_secret_is_named(tmp_path: Path) -> None:
    """With nothing in the environment a program says which variable it needs, in one line, and ends with 2."""
    ran = subprocess.run(
        [sys.executable, "-m", "gamekit.cli", "migrate"],
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.splitlines()[0] == "✗ GAMEKIT_SECRET_KEY is missing"
    assert "Traceback" not in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_settings_that_cannot_be_are_named(lite: Shell) -> None:
    """A short secret, an unknown log level or address: the variable, and what would be right."""
    for setting, value, told in (
        ("secret_key", "short", "GAMEKIT_SECRET_KEY must have at least 32 characters"),
        ("log_level", "loud", "GAMEKIT_LOG_LEVEL must be one of DEBUG, INFO, WARNING, ERROR"),
        ("log_format", "xml", "GAMEKIT_LOG_FORMAT must be one of json, console"),
        ("database_url", "mysql://somewhere/x", "GAMEKIT_DATABASE_URL must start with postgresql+asyncpg://"),
        ("sql_pool_size", "many", "GAMEKIT_SQL_POOL_SIZE"),
    ):
        assert told in lite.fails("key", "list", **{setting: value})
    assert lite("key", "list", log_level="info").code == 0


def test_a_database_that_needs_a_migration_says_what_to_run(
    interpreter: subprocess.Popen[str], redis_url: str, tmp_path: Path
) -> None:
    """Nothing starts or changes before `gamekit migrate`, which is told, and which may be run again."""
    shell = _shell(interpreter, tmp_path, GAMEKIT_REDIS_URL=redis_url)
    for command in (("campaign", "export", "spring"), ("key", "list"), ("serve", "--port", "1"), ("seed",)):
        assert "run `gamekit migrate`" in shell.fails(*command)
    assert shell("doctor").code == 1
    assert shell("migrate").out == "The database went from empty to 0001.\n"
    assert shell("migrate").out == "The database is at 0001.\n"
    assert shell("key", "list").code == 0


def test_servers_that_are_away_are_told_in_a_sentence(lite: Shell) -> None:
    """No traceback, and no password of the address in it."""
    away = f"postgresql+asyncpg://gamekit:hunter2@127.0.0.1:{free_port()}/x"
    for address in (away, "postgresql+asyncpg://[", "nonsense"):
        told = lite.fails("key", "list", database_url=address)
        assert "hunter2" not in told
        assert "`gamekit doctor`" in told


def test_doctor_says_what_is_right_and_what_is_not(lite: Shell) -> None:
    """Exit code 0 only where every check passes, for people and as JSON."""
    good = {"secret_key": "0123456789abcdef" * 4, "public_url": "https://promo.example"}
    checks = lite("doctor", "--json", **good).json
    assert {"SQLite", "migration", "disk"} <= {check["name"] for check in checks}
    assert all(check["ok"] for check in checks)
    ran = lite("doctor", **good | {"public_url": "http://promo.example"})
    assert ran.code == 1
    assert "✗ public address" in ran.out


def test_a_campaign_makes_the_round_trip(shell: Shell, file: Path) -> None:
    """Lint, apply, publish; export, edit a weight, diff, apply: a new odds version, and nothing changed besides."""
    assert shell("campaign", "lint", file).out == f"✓ {file}: spring, 2 prizes, total weight 10,000\n"
    assert shell("campaign", "diff", file).out == "Would create spring.\n"
    assert shell.fails("campaign", "export", "spring")
    assert shell("campaign", "apply", file, "--json").json == {
        "slug": "spring",
        "created": True,
        "version": None,
        "changes": [],
    }
    assert shell("campaign", "publish", "spring").out == "spring is live.\n"
    exported = shell("campaign", "export", "spring").out
    assert parse_toml(exported) == parse_toml(FILE)
    file.write_text(exported, encoding="utf-8")
    assert shell("campaign", "diff", file).out == "spring: no change.\n"
    file.write_text(exported.replace("weight = 500 ", "weight = 600 "), encoding="utf-8")
    assert shell("campaign", "diff", file).out.split() == ["~", "prizes.latte.weight", "500", "→", "600"]
    changes = [{"field": "prizes.latte.weight", "before": 500, "after": 600}]
    dry = shell("campaign", "diff", file, "--json").json
    assert (dry["version"], dry["changes"]) == (1, changes)
    assert shell("campaign", "apply", file).out.splitlines()[-1] == "Applied to spring: odds version 2 is in force."
    assert shell("campaign", "apply", file, "--json").json == {
        "slug": "spring",
        "created": False,
        "version": 2,
        "changes": [],
    }
    assert parse_toml(shell("campaign", "export", "spring").out).prize("latte").weight == 600


def test_a_file_with_faults_names_each_of_them(lite: Shell, file: Path) -> None:
    """Field by field on stderr, also where the text has brackets; nothing of it is saved."""
    bad = FILE.replace('game = "wheel"', 'game = "[/red]"').replace("total = 5", "totl = 5")
    file.write_text(bad.replace("weight = 500", "weight = -1"), encoding="utf-8")
    for verb in ("lint", "diff", "apply"):
        told = lite.fails("campaign", verb, file)
        for part in ('"[/red]"', "chances.totl", "total", "prizes[0].weight"):
            assert part in told
    file.write_text(FILE.replace('game = "wheel"', 'game = "poker"'), encoding="utf-8")
    assert "game: " in lite.fails("campaign", "lint", file)
    file.write_bytes(b"slug = \xff")
    assert "not UTF-8" in lite.fails("campaign", "lint", file)
    file.write_text("slug = [", encoding="utf-8")
    assert "line 1" in lite.fails("campaign", "apply", file)
    assert lite.fails("campaign", "lint", file.parent / "nowhere.toml")
    assert "no campaign" in lite.fails("campaign", "export", "spring")


def test_a_campaign_is_turned_from_the_command_line(lite: Shell, file: Path) -> None:
    """Publish, pause, resume and end, each said; what does not fit is a sentence."""
    lite("campaign", "apply", file)
    for verb in ("pause", "resume", "end"):
        assert "draft" in lite.fails("campaign", verb, "spring")
    told = [lite("campaign", verb, "spring").out for verb in ("publish", "pause", "pause", "resume", "end", "end")]
    assert [line.removesuffix(".\n").split()[-1] for line in told] == ["live", "paused", "paused", "live"] + [
        "ended"
    ] * 2
    for verb in ("publish", "pause", "resume"):
        assert "ended" in lite.fails("campaign", verb, "spring")
    assert "ended" in lite.fails("campaign", "apply", file)
    assert "no campaign" in lite.fails("campaign", "publish", "winter")


def test_keys_are_made_listed_and_revoked(lite: Shell) -> None:
    """The secret is printed once and alone; the list knows everything but it."""
    made = lite("key", "create", "--name", "Kiosk 一", "--scopes", "draw,read", "--rate", 90, "--json").json
    assert set(made) == {"key", "id"}
    assert made["key"].startswith("gk_")
    plain = lite("key", "create", "--name", "other").out
    assert plain.startswith("gk_")
    listed = [json.loads(line) for line in lite("key", "list", "--json").out.splitlines()]
    assert listed[0] == {"id": made["id"], "name": "Kiosk 一", "scopes": "draw,read", "state": "active"}
    assert len(listed) == 2
    assert lite("key", "revoke", made["id"]).out == f"{made['id']} is revoked.\n"
    ran = lite("key", "list")
    assert "revoked" in ran.out
    assert made["key"] not in ran.out
    assert plain.strip() not in ran.out
    assert "no API key" in lite.fails("key", "revoke", "[/nobody]")
    assert "draw, read, manage, redeem" in lite.fails("key", "create", "--name", "x", "--scopes", "draw,fly")
    assert "name" in lite.fails("key", "create", "--name", "")


def test_a_user_is_added_with_a_password_from_stdin(lite: Shell) -> None:
    """The password is never an argument; a short one, an unknown role and a second account are refused."""
    add = ("user", "add", "--email", "Mei@Example.com", "--role", "owner", "--password-stdin")
    assert "12 to" in lite.fails(*add, stdin="short\n")
    assert lite(*add, stdin="correct horse battery\n").out == "Mei@Example.com may sign in as owner.\n"
    assert "has a user already" in lite.fails(*add, stdin="correct horse battery\n")
    assert "owner" in lite.fails("user", "add", "--email", "a@b.c", "--role", "ownr", "--password-stdin", stdin="x\n")


def test_codes_are_imported_from_a_file(shell: Shell, file: Path, tmp_path: Path) -> None:
    """What was added, what was there already and which lines are none; no progress bar where nobody watches."""
    shell("campaign", "apply", file)
    codes = tmp_path / "codes.csv"
    codes.write_text("code\nA-1\nA-2\nA-1\ntwo words\n", encoding="utf-8")
    place = ("--campaign", "spring", "--prize", "latte")
    ran = shell("coupons", "import", codes, *place)
    assert ran == Ran(0, "2 codes added to latte; 1 duplicates left out.\n  line 5: has a space inside\n", ran.err)
    assert "Importing" not in ran.err
    codes.write_text("A-2\nA-3\n\x01\n", encoding="utf-8")
    again = shell("coupons", "import", codes, *place, "--json").json
    assert again == {
        "added": 1,
        "duplicates": 1,
        "rejected": [{"line": 3, "why": "has control or invisible characters"}],
    }
    assert "no prize" in shell.fails("coupons", "import", codes, "--campaign", "spring", "--prize", "tea")
    assert "no campaign" in shell.fails("coupons", "import", codes, "--campaign", "winter", "--prize", "latte")
    assert "no pool" in shell.fails("coupons", "import", codes, "--campaign", "spring", "--prize", "thanks")


def test_verify_says_with_its_exit_code_whether_a_ledger_holds(lite: Shell, redis_url: str, tmp_path: Path) -> None:
    """0 where everything that can be checked holds, 1 with the first line that does not; it needs no settings."""
    before, after = finished(_draw_and_end(lite.environment["GAMEKIT_DATABASE_URL"], redis_url))
    bare = Shell(lite.interpreter, {})
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_bytes(b"\n".join(before))
    assert bare("verify", ledger).out == "✓ 10 draws and 0 voids hold; the seed is not out yet.\n"
    ledger.write_bytes(b"\n".join(after))
    assert "every pick follows from the seed (10)" in bare("verify", ledger).out
    report = bare("verify", ledger, "--json").json
    assert (report["ok"], report["draws"], report["picks_checked"], report["seed_known"]) == (True, 10, 10, True)
    line = json.loads(after[4])
    ledger.write_bytes(b"\n".join([*after[:4], json.dumps({**line, "chance": 1}).encode(), *after[5:]]))
    ran = bare("verify", ledger)
    assert (ran.code, ran.out) == (1, "")
    assert "line 5: " in ran.err
    ran = bare("verify", ledger, "--json")
    assert (ran.code, json.loads(ran.out)["ok"], json.loads(ran.out)["line"]) == (1, False, 5)
    ledger.write_bytes(b"not a ledger")
    assert bare("verify", ledger).code == 1
    assert bare("verify", tmp_path / "nowhere").code == 2


async def _draw_and_end(sql_url: str, redis_url: str) -> tuple[list[bytes], list[bytes]]:
    """The exported ledger of ten draws, before and after the end."""
    async with process(sql_url, redis_url, clock=SetClock(datetime(2026, 12, 1, tzinfo=UTC))) as one:
        await one.open(parse_toml(FILE.replace("total = 5", "total = 10")), codes={"latte": 3})
        await one.drawn("ann", "k", 10)
        before = await one.export()
        await one.campaigns.end("spring")
        return before, await one.export()


def test_the_demo_brand_is_seeded_once(lite: Shell) -> None:
    """A second time changes nothing."""
    for _ in range(2):
        assert lite("seed").out == "The demo brand is in the database.\n"
    assert "summer-wheel" in lite("campaign", "export", "summer-wheel").out

    async def stock() -> dict[str, int | None]:
        url = lite.environment["GAMEKIT_DATABASE_URL"]
        records = open_records(load_settings(secret_key=SECRET, database_url=url))
        try:
            return {item.prize.key: item.stock for item in (await records.campaigns.get("summer-wheel")).prizes}
        finally:
            await records.sql.dispose()

    document = parse_toml(lite("campaign", "export", "summer-wheel").out)
    assert finished(stock()) == {prize.key: prize.stock for prize in document.prizes}


def test_every_command_is_explained(lite: Shell) -> None:
    """Each has a line of help, and a typing error ends with 2."""
    told = lite("--help").out
    for command in (
        "demo",
        "serve",
        "worker",
        "migrate",
        "doctor",
        "seed",
        "campaign",
        "verify",
        "coupons",
        "user",
        "key",
    ):
        assert command in told
        assert lite(command, "--help").code == 0
    assert lite("campain").code == 2
