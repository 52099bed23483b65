"""The command line. Each command reads its arguments, calls one service and prints; `--json` prints for machines."""

from __future__ import annotations

import asyncio
import difflib
import json
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, NoReturn, TypeVar

import typer
import uvicorn
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy.exc import SQLAlchemyError

from gamekit.accounts.models import Role
from gamekit.accounts.service import Users
from gamekit.campaigns.file import dump_toml, parse_toml, render_diff
from gamekit.campaigns.schemas import CampaignDocument
from gamekit.clock import SystemClock
from gamekit.config import Settings, load_settings
from gamekit.demo import run_demo, seed
from gamekit.doctor import diagnose
from gamekit.draws.verify import LedgerFault, Report, verify
from gamekit.errors import GamekitError
from gamekit.logs import configure_logging
from gamekit.main import Records, build, build_app, open_records
from gamekit.registry import find_problems, load_games
from gamekit.storage.migrate import current_and_head, require_head, upgrade
from gamekit.storage.redis import RedisError
from gamekit.storage.sql import open_database

Result = TypeVar("Result")

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
campaign = typer.Typer(no_args_is_help=True, help="A campaign as a file.")
coupons = typer.Typer(no_args_is_help=True, help="Coupon pools.")
user = typer.Typer(no_args_is_help=True, help="People who sign in to the admin pages.")
key = typer.Typer(no_args_is_help=True, help="API keys.")
for name, group in (("campaign", campaign), ("coupons", coupons), ("user", user), ("key", key)):
    app.add_typer(group, name=name)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A campaign file (TOML).")]
METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"


def main() -> None:
    """The entry point: what goes wrong is a sentence on stderr and exit code 2."""
    try:
        app()
    except GamekitError as error:
        _fail(error)
    except (OSError, RedisError, SQLAlchemyError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        _fail(GamekitError(f"This did not work: {said}. `gamekit doctor` looks for the cause."))


def _fail(error: GamekitError) -> NoReturn:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print("[red]✗[/red] ", end="")
    # What is told may quote the user's own text, brackets and all.
    console.print(error.message, markup=False)
    for problem in error.problems:
        console.print(f"  {problem.field}: {problem.message}", markup=False)
    raise SystemExit(2)


def _settings() -> Settings:
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    return settings


def _with_records(work: Callable[[Records], Awaitable[Result]]) -> Result:
    """Runs `work(records)` against a database that is up to date."""

    async def go() -> Result:
        records = open_records(_settings())
        try:
            await require_head(records.sql)
            return await work(records)
        finally:
            await records.sql.dispose()

    return asyncio.run(go())


# Running -----------------------------------------------------------------------------------------------------------


@app.command()
def demo(
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 8000,
    data_dir: Annotated[Path, typer.Option(help="Where the demo keeps its database.")] = Path("var/demo"),
    as_json: AsJson = False,
) -> None:
    """Start everything on embedded servers, with a demo brand and an emulated Messenger."""
    run_demo(port=port, data_dir=data_dir, as_json=as_json)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = 1,
) -> None:
    """Serve players, bots and the admin pages."""
    settings = _settings()
    asyncio.run(_check_database(settings))
    if workers > 1:
        shared = settings.data_dir / "metrics"
        shutil.rmtree(shared, ignore_errors=True)
        shared.mkdir(parents=True)
        os.environ[METRICS_DIR] = str(shared)
    uvicorn.run(
        "gamekit.cli:serve_app",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=20,
    )


def serve_app() -> object:
    """One worker's app, from the environment."""
    shared = os.environ.get(METRICS_DIR)
    return build_app(_settings(), shared_metrics=Path(shared) if shared else None)


async def _check_database(settings: Settings) -> None:
    sql = open_database(settings.sql_url)
    try:
        await require_head(sql)
    finally:
        await sql.dispose()


@app.command()
def worker() -> None:
    """Deliver and recover, without serving requests."""
    gamekit = build(load_settings(relay=True))
    configure_logging(gamekit.records.settings.log_level, gamekit.records.settings.log_format)

    async def work() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (2, 15):  # SIGINT, SIGTERM
            loop.add_signal_handler(number, stopping.set)
        await gamekit.start()
        await stopping.wait()
        await gamekit.stop()

    asyncio.run(work())


@app.command()
def migrate() -> None:
    """Bring the database up to date."""

    async def go() -> tuple[str | None, str]:
        sql = open_database(_settings().sql_url)
        try:
            before, _ = await current_and_head(sql)
            await upgrade(sql)
            return before, (await current_and_head(sql))[1]
        finally:
            await sql.dispose()

    before, after = asyncio.run(go())
    typer.echo(
        f"The database is at {after}." if before == after else f"The database went from {before or 'empty'} to {after}."
    )


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Look over this installation; exit code 1 where something is not right."""
    checks = asyncio.run(diagnose(_settings(), clock=SystemClock()))
    if as_json:
        found = [{"name": c.name, "ok": c.ok, "detail": c.detail, "fix": c.fix} for c in checks]
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        for check in checks:
            typer.echo(f"{'✓' if check.ok else '✗'} {check.name}: {check.detail}")
            if not check.ok and check.fix:
                typer.echo(f"    {check.fix}")
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)


@app.command("seed")
def seed_command() -> None:
    """Fill the database with the demo brand's campaigns."""
    _with_records(seed)
    typer.echo("The demo brand is in the database.")


# Campaigns ---------------------------------------------------------------------------------------------------------


def _read(file: Path) -> CampaignDocument:
    document = parse_toml(file.read_bytes())
    problems = find_problems(load_games(), document)
    if problems:
        raise GamekitError(f"{file} is not a campaign that can be played.", problems=problems)
    return document


@campaign.command()
def lint(file: File) -> None:
    """Check a file without touching the database."""
    document = _read(file)
    typer.echo(f"✓ {file}: {document.slug}, {len(document.prizes)} prizes, total weight {document.table().total:,}")


@campaign.command()
def export(slug: str) -> None:
    """Print a campaign as a file."""

    async def get(records: Records) -> str:
        return dump_toml((await records.campaigns.get(slug)).document)

    typer.echo(_with_records(get), nl=False)


@campaign.command("diff")
def diff_command(file: File, as_json: AsJson = False) -> None:
    """Show what applying a file would change. Changes nothing."""
    _show_applied(file, dry_run=True, as_json=as_json)


@campaign.command()
def apply(file: File, as_json: AsJson = False) -> None:
    """Save a file. Where the campaign is published, a new odds version is in force at once."""
    _show_applied(file, dry_run=False, as_json=as_json)


def _show_applied(file: Path, *, dry_run: bool, as_json: bool) -> None:
    document = _read(file)
    applied = _with_records(lambda records: records.campaigns.apply(document, dry_run=dry_run))
    if as_json:
        changes = [{"field": c.field, "before": c.before, "after": c.after} for c in applied.changes]
        body = {"slug": applied.slug, "created": applied.created, "version": applied.version, "changes": changes}
        typer.echo(json.dumps(body, ensure_ascii=False, default=str))
    elif applied.created:
        typer.echo(f"{'Would create' if dry_run else 'Created'} {applied.slug}.")
    elif not applied.changes:
        typer.echo(f"{applied.slug}: no change.")
    else:
        typer.echo(render_diff(applied.changes))
        if not dry_run:
            told = f"odds version {applied.version} is in force" if applied.version else "a draft, not published yet"
            typer.echo(f"Applied to {applied.slug}: {told}.")


def _turn(verb: str) -> Any:
    def command(slug: str) -> None:
        summary = _with_records(lambda records: getattr(records.campaigns, verb)(slug))
        typer.echo(f"{slug} is {summary.phase}.")

    return command


for verb, told in (
    ("publish", "Publish a draft."),
    ("pause", "Take no draws until resumed."),
    ("resume", "Take draws again."),
    ("end", "End for good, and reveal the seed."),
):
    campaign.command(verb, help=told)(_turn(verb))


# The ledger --------------------------------------------------------------------------------------------------------


@app.command("verify")
def verify_command(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="An exported ledger (JSON lines).")
    ],
    as_json: AsJson = False,
) -> None:
    """Check an exported ledger, offline. Exit code 0 only if everything that can be checked holds."""
    try:
        with file.open("rb") as lines, _progress("Checking", file.stat().st_size, hidden=as_json) as advance:
            report = verify(_counted(lines, advance))
    except LedgerFault as fault:
        if as_json:
            typer.echo(json.dumps({"ok": False, "line": fault.line, "fault": str(fault)}, ensure_ascii=False))
        else:
            typer.echo(f"✗ {file}: {fault}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps({"ok": True, **_report(report)}))
        return
    picks = (
        f"every pick follows from the seed ({report.picks_checked:,})"
        if report.seed_known
        else "the seed is not out yet"
    )
    typer.echo(f"✓ {report.draws:,} draws and {report.voids:,} voids hold; {picks}.")
    if report.unprovable:
        typer.echo(
            f"  {report.unprovable:,} lost prizes fall across a change of epoch and cannot be proven from the file."
        )


def _report(report: Report) -> dict[str, Any]:
    names = ("draws", "voids", "picks_checked", "unprovable", "versions", "seed_known")
    return {name: getattr(report, name) for name in names}


def _counted(lines: BinaryIO, advance: Any) -> Iterator[bytes]:
    for line in lines:
        advance(len(line))
        yield line


@contextmanager
def _progress(told: str, total: int, *, hidden: bool = False) -> Iterator[Any]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=hidden or not console.is_terminal) as progress:
        task = progress.add_task(told, total=total)
        yield lambda count: progress.advance(task, count)


# Coupons, users, keys ----------------------------------------------------------------------------------------------


@coupons.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="CSV, one code a line.")],
    slug: Annotated[str, typer.Option("--campaign", help="The campaign's slug.")],
    prize: Annotated[str, typer.Option("--prize", help="The prize's key.")],
    as_json: AsJson = False,
) -> None:
    """Add codes to a prize's pool: all of the file's good lines, or none."""
    total = _lines(file)

    async def go(records: Records) -> Any:
        with file.open("rb") as codes, _progress("Importing", total, hidden=as_json) as advance:
            seen = {"read": 0, "save": 0}

            def step(stage: Any, done: int) -> None:
                advance((done - seen[str(stage)]) / len(seen))
                seen[str(stage)] = done

            return await records.coupons.import_codes(slug, prize, codes, progress=step)

    report = _with_records(go)
    if as_json:
        rejected = [{"line": item.line, "why": item.why} for item in report.rejected]
        typer.echo(json.dumps({"added": report.added, "duplicates": report.duplicates, "rejected": rejected}))
        return
    typer.echo(f"{report.added:,} codes added to {prize}; {report.duplicates:,} duplicates left out.")
    for item in report.rejected:
        typer.echo(f"  line {item.line}: {item.why}")


def _lines(file: Path) -> int:
    with file.open("rb") as stream:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(1 << 20), b"")) or 1


@user.command("add")
def add_user(
    email: Annotated[str, typer.Option()],
    role: Annotated[str, typer.Option(help=", ".join(Role))] = Role.MARKETER,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
) -> None:
    """Add a person who may sign in to the admin pages."""
    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    if role not in list(Role):
        near = difflib.get_close_matches(role, list(Role), n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise typer.BadParameter(f"is one of {', '.join(Role)}{meant}", param_hint="--role")

    async def go(records: Records) -> None:
        await Users(records.sql, records.clock).add(email, password, Role(role))

    _with_records(go)
    typer.echo(f"{email} may sign in as {role}.")


@key.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="Who will use it.")],
    scopes: Annotated[str, typer.Option(help="Comma-separated: draw, read, manage, redeem.")] = "draw",
    rate: Annotated[int | None, typer.Option(min=1, help="Requests a minute.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key; it is shown this once."""
    limit = {} if rate is None else {"rate_per_minute": rate}
    made = _with_records(lambda records: records.keys.create(name, scopes.split(","), **limit))
    typer.echo(json.dumps({"key": made.secret, "id": made.id}) if as_json else made.secret)


@key.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List API keys, without their secrets."""
    found = _with_records(lambda records: records.keys.list())
    for one in found:
        state = "revoked" if one.revoked_at else "active"
        scopes = ",".join(sorted(one.scopes))
        row = {"id": one.id, "name": one.name, "scopes": scopes, "state": state}
        typer.echo(json.dumps(row, ensure_ascii=False) if as_json else f"{one.id}  {state:<8} {scopes:<24} {one.name}")


@key.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="The key's id, as `key list` shows it.")]) -> None:
    """End an API key."""
    _with_records(lambda records: records.keys.revoke(key_id))
    typer.echo(f"{key_id} is revoked.")


if __name__ == "__main__":
    main()
