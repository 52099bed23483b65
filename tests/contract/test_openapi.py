"""The OpenAPI document and the docs page: valid, whole, and from no other host."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import httpx2
import jsonschema_rs
from starlette.routing import Router

from gamekit.api.docs import docs_page
from gamekit.api.openapi import document
from gamekit.api.problems import KINDS
from gamekit.api.routes import OPERATIONS, api_pages
from gamekit.entropy import SystemEntropy
from gamekit.http.front import Front

SPECIFICATION = document(OPERATIONS)


def client() -> httpx2.AsyncClient:
    front = Front(Router(api_pages()), SystemEntropy())
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=front), base_url="http://test")


def references(node: Any) -> set[str]:
    """Every `$ref` below a node."""
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(references(value) for value in node.values()))
    return set[str]().union(*(references(value) for value in node)) if isinstance(node, list) else set()


async def test_the_document_is_served_as_it_is_made() -> None:
    """OpenAPI 3.1, with a bearer key as its one way in."""
    async with client() as web:
        served = (await web.get("/api/openapi.json")).json()
    assert served == SPECIFICATION
    assert served["openapi"] == "3.1.0"
    assert served["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


def test_every_schema_is_a_schema_and_every_reference_leads_somewhere() -> None:
    """JSON Schema 2020-12, as OpenAPI 3.1 wants; nothing hangs in the air, and nothing is left over."""
    schemas = SPECIFICATION["components"]["schemas"]
    for schema in schemas.values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
    assert references(SPECIFICATION) == {f"#/components/schemas/{name}" for name in schemas}


def test_every_operation_is_whole() -> None:
    """Each has its path's parameters, an answer, the problems common to all, and an example where one is typed by hand."""
    identities = [operation.id for operation in OPERATIONS]
    assert len(set(identities)) == len(identities)
    for path, methods in SPECIFICATION["paths"].items():
        for operation in methods.values():
            named = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
            assert named == set(re.findall(r"\{(\w+)\}", path))
            assert {"401", "403", "422", "429", "503"} <= set(operation["responses"])
            assert any(status.startswith("2") for status in operation["responses"])
            assert all("example" in one for one in operation["parameters"] if one["in"] != "query")


async def test_the_docs_page_needs_no_other_host_and_no_script() -> None:
    """It has a section for each operation, schema and problem, and its own strict policy."""
    async with client() as web:
        page = await web.get("/api/docs")
        style = await web.get("/api/docs.css")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    found = _Page()
    found.feed(page.text)
    assert not found.inline
    assert found.loaded == ["/api/docs.css"]
    assert {*(operation.id for operation in OPERATIONS), *(f"problem-{code}" for code in KINDS)} <= found.ids
    assert {link.removeprefix("#") for link in found.links if link.startswith("#")} <= found.ids
    assert not [link for link in found.links if "//" in link]
    assert style.headers["content-type"].startswith("text/css")
    assert "url(" not in style.text
    assert "@import" not in style.text


def test_the_page_explains_every_problem_an_answer_can_name() -> None:
    """A problem's `type` leads to its row."""
    page = docs_page(SPECIFICATION)
    assert [problem.kind.code for problem in page.problems] == list(KINDS)
    assert all(operation.problems for operation in page.operations)


class _Page(HTMLParser):
    """What a page loads, links to and names."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.ids.add(given["id"])
        if tag == "a":
            self.links.append(given["href"])
        if tag in {"script", "img", "iframe", "link", "style"}:
            self.loaded.append(given.get("src") or given.get("href") or tag)
        if tag in {"script", "style"} or "style" in given or any(name.startswith("on") for name in given):
            self.inline.append(tag)
