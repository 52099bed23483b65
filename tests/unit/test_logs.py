"""Logs are JSON lines without names, codes or secrets."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from gamekit.logs import MASKED, configure_logging


@pytest.fixture
def written(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What is logged, with the process's own logging put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    configure_logging("INFO", getattr(request, "param", "json"), stream=stream)
    yield stream
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line(written: io.StringIO) -> None:
    """Time, level, logger and fields are all there."""
    structlog.get_logger("gamekit.draws").info("committed", draws=3, run="abc", 中文="好")
    (line,) = lines(written)
    assert line.pop("timestamp")
    assert line == {
        "event": "committed",
        "level": "info",
        "logger": "gamekit.draws",
        "draws": 3,
        "run": "abc",
        "中文": "好",
    }


@pytest.mark.parametrize(
    "key", ["code", "token", "access_token", "Page-Token", "psid", "name", "email", "Authorization"]
)
def test_what_names_a_person_or_opens_a_door_is_masked(written: io.StringIO, key: str) -> None:
    """A sensitive value never reaches the log, at any depth, from structlog or from logging."""
    structlog.get_logger().warning("sent", **{key: "s3cr3t"}, inner={"list": [{key: "s3cr3t"}]})
    logging.getLogger("some.library").warning("sent", extra={key: "s3cr3t"} if key != "name" else {})
    assert "s3cr3t" not in written.getvalue()
    assert lines(written)[0][key] == MASKED
    assert lines(written)[0]["inner"] == {"list": [{key: MASKED}]}


def test_library_logs_take_the_same_form(written: io.StringIO) -> None:
    """What a library writes with `logging` is JSON too, with its arguments filled in."""
    logging.getLogger("some.library").error("lost %d of %d", 1, 2)
    (line,) = lines(written)
    assert (line["event"], line["logger"], line["level"]) == ("lost 1 of 2", "some.library", "error")


def test_an_exception_is_in_the_line(written: io.StringIO) -> None:
    """A traceback stays inside the event's one line."""
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = lines(written)
    assert "broken" in json.dumps(line["exception"])


@pytest.mark.parametrize("written", ["json", "console"], indirect=True)
def test_a_traceback_shows_no_local_variables(written: io.StringIO) -> None:
    """Locals may hold a code or a token; they are left out."""
    try:
        secret = "s3" + "cr3t"
        raise ValueError(len(secret))
    except ValueError:
        structlog.get_logger().exception("failed")
    assert "s3cr3t" not in written.getvalue()


def test_a_quieter_level_drops_the_rest(written: io.StringIO) -> None:
    """Below the level nothing is written."""
    structlog.get_logger().debug("detail")
    assert written.getvalue() == ""
