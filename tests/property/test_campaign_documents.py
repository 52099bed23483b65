"""Whole documents: what is written can be read, and what cannot be read is told, never raised as something else."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gamekit.campaigns.changes import diff, render_diff
from gamekit.campaigns.file import dump_toml, parse_toml
from gamekit.campaigns.schemas import CampaignDocument, parse_document
from gamekit.errors import InvalidInput, Problem
from gamekit.odds.table import MAX_TOTAL
from gamekit.testing.strategies import document_data, documents, json_values

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.just("x" * 10_000),
    st.just("\ud800\x00"),
    st.just({}),
    st.just([]),
    st.just([[{"a": None}]]),
    st.datetimes(),
    st.dates(),
    st.times(),
    json_values,
)


@settings(max_examples=150, deadline=None)
@given(documents)
def test_file_round_trip(document: CampaignDocument) -> None:
    """Reading a written file gives an equal document, and writing that gives the same file."""
    text = dump_toml(document)
    again = parse_toml(text)
    assert again == document
    assert dump_toml(again) == text
    assert diff(document, again) == ()


@settings(max_examples=150, deadline=None)
@given(documents)
def test_json_round_trip(document: CampaignDocument) -> None:
    """A document survives JSON text, also where a database sorts the keys."""
    raw = json.loads(json.dumps(document.to_json(), allow_nan=False, sort_keys=True))
    assert parse_document(raw) == document


@settings(max_examples=100, deadline=None)
@given(documents)
def test_valid_documents_have_a_table_and_a_fallback(document: CampaignDocument) -> None:
    """Every valid document can be drawn from."""
    table = document.table()
    assert 1 <= table.total <= MAX_TOTAL
    assert document.fallback.stock is None
    assert [document.prize(key).weight for key in table.keys] == list(table.weights)


@settings(max_examples=100, deadline=None)
@given(documents, documents)
def test_diff_is_empty_only_for_equal_documents(one: CampaignDocument, other: CampaignDocument) -> None:
    """A difference is never missed, going back swaps before and after, and a rendering has one line for each change."""
    changes = diff(one, other)
    assert one == other or changes
    assert {(change.field, json.dumps(change.before), json.dumps(change.after)) for change in changes} == {
        (change.field, json.dumps(change.after), json.dumps(change.before)) for change in diff(other, one)
    }
    assert not changes or render_diff(changes).count("\n") == len(changes)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_broken_documents_are_told(data: st.DataObject) -> None:
    """Whatever one value is replaced with, reading gives a document or problems that are shown in short and can be encoded."""
    raw = copy.deepcopy(data.draw(document_data()))
    for _ in range(data.draw(st.integers(1, 3))):
        _break(data, raw)
    document, problems = _read(raw)
    assert document is None or parse_toml(dump_toml(document)) == document
    assert (document is None) == (1 <= len(problems) <= 101)
    for problem in problems:
        assert len(problem.field) < 400
        assert 0 < len(problem.message) < 700
        assert not CONTROL.search(f"{problem.field} {problem.message}")


def _read(raw: dict[str, Any]) -> tuple[CampaignDocument | None, tuple[Problem, ...]]:
    try:
        return parse_document(raw), ()
    except InvalidInput as error:
        return None, error.problems


def _break(data: st.DataObject, raw: dict[str, Any]) -> None:
    place: Any = raw
    while True:
        names = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not names:
            return
        name = data.draw(st.sampled_from(names))
        inner = place[name]
        if isinstance(inner, (dict, list)) and inner and data.draw(st.integers(0, 3)):
            place = inner
            continue
        match data.draw(st.sampled_from(["replace", "remove", "add", "twice"])):
            case "replace":
                place[name] = data.draw(ODD)
            case "remove":
                del place[name]
            case "add" if isinstance(place, dict):
                place[
                    data.draw(st.sampled_from(["wieght", "x", "\x00", "y" * 10_000, "chance", "fallback", "prize"]))
                ] = data.draw(ODD)
            case "twice" if isinstance(place, list):
                place.append(copy.deepcopy(inner))
        return
