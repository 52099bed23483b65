"""The OpenAPI 3.1 document of API v1, made from the same table and models that serve it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from gamekit import __version__
from gamekit.api.dispatch import PATH_FIELDS, PREFIX, Operation
from gamekit.api.problems import KINDS
from gamekit.api.schemas import ProblemOut
from gamekit.http.errors import MEDIA_TYPE
from gamekit.http.patterns import VISIBLE_ASCII

EVERYWHERE = ("unauthorized", "forbidden", "invalid_input", "rate_limited", "unavailable", "internal_error")
_REF = "#/components/schemas/{model}"
_DESCRIPTION = """\
Draws prizes: once per Idempotency-Key, never over stock, provably fair. Send `Authorization: Bearer gk_…`.
Every error is `application/problem+json` (RFC 9457) with a stable `code`. Times are RFC 3339."""
_HEADERS: dict[str, dict[str, Any]] = {
    "Idempotency-Key": {
        "description": "Names this request. Repeat the request with the same key as often as you like: it draws once.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": VISIBLE_ASCII},
        "example": "9f1c7a52-draw-1",
    }
}


_Refs = dict[tuple[type[BaseModel], JsonSchemaMode], dict[str, Any]]


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """The whole document."""
    table = tuple(operations)
    wanted: set[tuple[type[BaseModel], JsonSchemaMode]] = {(ProblemOut, "serialization")}
    for operation in table:
        wanted |= {(model, "serialization") for model in operation.answers.values() if isinstance(model, type)}
        if isinstance(operation.body, type):
            wanted.add((operation.body, "validation"))
    ordered = sorted(wanted, key=lambda pair: (pair[0].__name__, pair[1]))
    references, definitions = models_json_schema(ordered, ref_template=_REF)
    refs: _Refs = {(model, mode): references[model, mode] for model, mode in ordered}
    paths: dict[str, dict[str, Any]] = {}
    for operation in table:
        paths.setdefault(PREFIX + operation.path, {})[operation.method.lower()] = _operation(operation, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "gamekit draw API",
            "version": "1",
            "x-gamekit-version": __version__,
            "description": _DESCRIPTION,
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key with the operation's scope."}
            },
            "schemas": definitions["$defs"],
        },
    }


def _operation(operation: Operation, refs: _Refs) -> dict[str, Any]:
    responses: dict[str, Any] = {
        str(status): _answer(status, model, refs) for status, model in sorted(operation.answers.items())
    }
    for status, codes in _problems(operation).items():
        responses[str(status)] = _problem(status, codes, refs)
    made: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "x-scope": operation.scope.value,
        "parameters": [*_path(operation), *_query(operation), *_headers(operation)],
        "responses": responses,
    }
    if operation.description:
        made["description"] = operation.description
    if isinstance(operation.body, type):
        schema = refs[operation.body, "validation"]
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    elif operation.body is not None:
        content = {"schema": {"type": "string"}, "example": "LATTE-0001\nLATTE-0002\n"}
        made["requestBody"] = {"required": True, "content": {operation.body: content}}
    return made


def _path(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": PATH_FIELDS[name].description,
            "schema": {
                "type": "string",
                "minLength": 1,
                "maxLength": PATH_FIELDS[name].longest,
                "pattern": PATH_FIELDS[name].pattern,
            },
            "example": PATH_FIELDS[name].example,
        }
        for name in re.findall(r"\{(\w+)\}", operation.path)
    ]


def _query(operation: Operation) -> list[dict[str, Any]]:
    schema = operation.query.model_json_schema()
    definitions = schema.get("$defs", {})
    made = []
    for name, rule in schema.get("properties", {}).items():
        kept = {key: value for key, value in rule.items() if key not in ("title", "description", "examples")}
        if "$ref" in kept:
            kept |= definitions[kept.pop("$ref").rpartition("/")[2]]
        # A query has no null: the parameter is left out instead.
        present = [one for one in kept.pop("anyOf", []) if one.get("type") != "null"]
        for one in present:
            kept |= one
        if kept.get("default", "") is None:
            del kept["default"]
        made.append(
            {"name": name, "in": "query", "required": False, "description": rule.get("description", ""), "schema": kept}
        )
    return made


def _headers(operation: Operation) -> list[dict[str, Any]]:
    return [{"name": name, "in": "header", "required": True, **_HEADERS[name]} for name in operation.headers]


def _answer(status: int, model: type[BaseModel] | str | None, refs: _Refs) -> dict[str, Any]:
    if model is None:
        return {"description": "Done."}
    made: dict[str, Any] = {"description": "Created." if status == 201 else "The answer."}
    if isinstance(model, str):
        made["content"] = {model: {"schema": {"type": "string"}}}
    else:
        made["description"] = (model.__doc__ or made["description"]).strip()
        made["content"] = {"application/json": {"schema": refs[model, "serialization"]}}
    return made


def _problems(operation: Operation) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for code in sorted({*EVERYWHERE, *operation.problems}):
        found.setdefault(KINDS[code].status, []).append(code)
    return dict(sorted(found.items()))


def _problem(status: int, codes: list[str], refs: _Refs) -> dict[str, Any]:
    made: dict[str, Any] = {
        "description": " ".join(f"`{code}`: {KINDS[code].meaning}" for code in codes),
        "content": {MEDIA_TYPE: {"schema": refs[ProblemOut, "serialization"]}},
    }
    if status in (429, 503):
        made["headers"] = {
            "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
        }
    if status == 401:
        made["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return made
