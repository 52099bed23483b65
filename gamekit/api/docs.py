"""The pages about the API: its OpenAPI document and a page for people, both made from the table of operations.

The page is plain HTML with one style sheet from here: no script, no other host.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gamekit import __version__
from gamekit.api.dispatch import Operation
from gamekit.api.openapi import document
from gamekit.api.problems import KINDS, ProblemKind
from gamekit.http.errors import TYPE_BASE, title
from gamekit.http.pages import Pages
from gamekit.http.security import STAFF_PAGE

_CACHED = {"cache-control": "public, max-age=300"}


@dataclass(frozen=True, slots=True)
class FieldView:
    """A row of a table: a parameter, or a field of a schema."""

    name: str
    kind: str
    """Its type, as a person would say it."""
    link: str
    """The schema the type is, where it is one of ours; else empty."""
    required: bool
    text: str


@dataclass(frozen=True, slots=True)
class AnswerView:
    """One status of an operation."""

    status: str
    text: str
    kind: str
    link: str


@dataclass(frozen=True, slots=True)
class OperationView:
    id: str
    method: str
    path: str
    summary: str
    text: str
    scope: str
    parameters: tuple[FieldView, ...]
    body: FieldView | None
    answers: tuple[AnswerView, ...]
    problems: tuple[ProblemKind, ...]


@dataclass(frozen=True, slots=True)
class SchemaView:
    name: str
    text: str
    fields: tuple[FieldView, ...]


@dataclass(frozen=True, slots=True)
class ProblemView:
    anchor: str
    title: str
    kind: ProblemKind


@dataclass(frozen=True, slots=True)
class DocsPage:
    """What `docs.html` shows."""

    version: str
    operations: tuple[OperationView, ...]
    schemas: tuple[SchemaView, ...]
    problems: tuple[ProblemView, ...]


def docs_routes(operations: Iterable[Operation]) -> list[BaseRoute]:
    """`/api/openapi.json`, `/api/docs` and its style sheet."""
    made = document(operations)
    specification = orjson.dumps(made)
    page = Pages("gamekit.api").render("docs.html", docs_page(made), headers={**STAFF_PAGE, **_CACHED})
    style = (files("gamekit.api") / "static" / "docs.css").read_bytes()

    async def serve_specification(_: Request) -> Response:
        return Response(specification, headers=_CACHED, media_type="application/json")

    async def serve_page(_: Request) -> Response:
        return page

    async def serve_style(_: Request) -> Response:
        return Response(style, headers=_CACHED, media_type="text/css")

    return [
        Route("/api/openapi.json", serve_specification),
        Route("/api/docs", serve_page),
        Route("/api/docs.css", serve_style),
    ]


def docs_page(specification: dict[str, Any]) -> DocsPage:
    """The page's content, read out of the OpenAPI document."""
    operations = tuple(
        _operation(method, path, one)
        for path, methods in specification["paths"].items()
        for method, one in methods.items()
    )
    schemas = tuple(_schema(name, one) for name, one in sorted(specification["components"]["schemas"].items()))
    problems = tuple(
        ProblemView(f"{TYPE_BASE}{code}".partition("#")[2], title(code), kind) for code, kind in KINDS.items()
    )
    return DocsPage(__version__, operations, schemas, problems)


def _operation(method: str, path: str, one: dict[str, Any]) -> OperationView:
    answers, problems = [], []
    for status, answer in one["responses"].items():
        ((media, content),) = answer.get("content", {"": {"schema": {}}}).items()
        if media == "application/problem+json":
            problems += [kind for code, kind in KINDS.items() if f"`{code}`:" in answer["description"]]
        else:
            kind, link = _kind(content["schema"]) if media == "application/json" else (media or "no body", "")
            answers.append(AnswerView(status, answer["description"], kind, link))
    body = None
    if "requestBody" in one:
        ((media, content),) = one["requestBody"]["content"].items()
        kind, link = _kind(content["schema"]) if media == "application/json" else (media, "")
        body = FieldView("body", kind, link, True, "")
    return OperationView(
        id=one["operationId"],
        method=method.upper(),
        path=path,
        summary=one["summary"],
        text=one.get("description", ""),
        scope=one["x-scope"],
        parameters=tuple(_parameter(parameter) for parameter in one["parameters"]),
        body=body,
        answers=tuple(answers),
        problems=tuple(problems),
    )


def _parameter(parameter: dict[str, Any]) -> FieldView:
    kind, link = _kind(parameter["schema"])
    return FieldView(
        parameter["name"], f"{kind}, in {parameter['in']}", link, parameter["required"], parameter["description"]
    )


def _schema(name: str, schema: dict[str, Any]) -> SchemaView:
    required = schema.get("required", ())
    fields = []
    for field, rule in schema.get("properties", {}).items():
        kind, link = _kind(rule)
        text = rule.get("description", "")
        if "default" in rule and rule["default"] is not None:
            text = f"{text} Default: {json.dumps(rule['default'])}.".strip()
        fields.append(FieldView(field, kind, link, field in required, text))
    values = f"One of {', '.join(schema['enum'])}." if "enum" in schema else ""
    return SchemaView(name, schema.get("description", values), tuple(fields))


def _kind(rule: dict[str, Any]) -> tuple[str, str]:
    """A type in words, and the schema of ours that it is or holds."""
    if "$ref" in rule:
        name = rule["$ref"].rpartition("/")[2]
        return name, name
    if "anyOf" in rule or "oneOf" in rule:
        kinds = [_kind(one) for one in rule.get("anyOf") or rule["oneOf"]]
        return " or ".join(kind for kind, _ in kinds), next((link for _, link in kinds if link), "")
    if "enum" in rule:
        return " | ".join(json.dumps(value) for value in rule["enum"]), ""
    if "const" in rule:
        return json.dumps(rule["const"]), ""
    match rule.get("type"):
        case "array":
            kind, link = _kind(rule.get("items", {}))
            return f"list of {kind}", link
        case "object" if isinstance(rule.get("additionalProperties"), dict):
            kind, link = _kind(rule["additionalProperties"])
            return f"{kind} by name", link
        case "string" if rule.get("format") == "date-time":
            return "date and time", ""
        case str(plain):
            bounds = [rule.get("minimum", rule.get("minLength")), rule.get("maximum", rule.get("maxLength"))]
            if bounds[0] is not None and bounds[1] is not None:
                unit = " characters" if plain == "string" else ""
                return f"{plain}, {bounds[0]} to {bounds[1]}{unit}", ""
            return plain, ""
    return "any", ""
