"""Static files, served under an address that names their content, so that browsers may keep them for ever.

A bundle is one package's `static` folder: `/static/<bundle>-<hash>/<file>`. The hash covers the whole folder, so
modules of a bundle import each other by relative address.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gamekit.errors import NotFound

KEPT = "public, max-age=31536000, immutable"
_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "png": "image/png",
    "webp": "image/webp",
    "jpg": "image/jpeg",
    "txt": "text/plain; charset=utf-8",
}
_PACKED = frozenset({"css", "js", "json", "svg", "txt"})


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    packed: bytes | None
    kind: str


class Assets:
    """All static files of this process, read and compressed once at start-up."""

    def __init__(self, packages: Mapping[str, str]) -> None:
        """`packages`: bundle name -> the package whose `static` folder it is."""
        self._files: dict[tuple[str, str], _File] = {}
        self._hashes: dict[str, str] = {}
        for bundle, package in packages.items():
            self.add(bundle, package)

    def add(self, bundle: str, package: str) -> None:
        """One more package's `static` folder."""
        self._add(bundle, sorted(_walk(files(package).joinpath("static"), "")))

    def join(self, bundle: str, name: str, *parts: tuple[str, str]) -> None:
        """A bundle of one file made of others (bundle, name) in this order: one request on a slow network, not several."""
        self._add(bundle, [(name, b"\n".join(self._files[part].body for part in parts))])

    def _add(self, bundle: str, named: Iterable[tuple[str, bytes]]) -> None:
        digest = sha256()
        for name, body in named:
            ending = name.rpartition(".")[2]
            packed = gzip.compress(body, 9, mtime=0) if ending in _PACKED else None
            self._files[bundle, name] = _File(body, packed, _TYPES.get(ending, "application/octet-stream"))
            digest.update(f"{name}\n{len(body)}\n".encode() + body)
        self._hashes[bundle] = digest.hexdigest()[:12]

    def url(self, bundle: str, name: str) -> str:
        """Where a file is served. Raises `KeyError` for a file that is not there."""
        if (bundle, name) not in self._files:
            raise KeyError(f"{bundle}/{name}")
        return f"/static/{bundle}-{self._hashes[bundle]}/{name}"

    def route(self) -> Route:
        return Route("/static/{folder}/{name:path}", self._serve, methods=["GET"])

    async def _serve(self, request: Request) -> Response:
        bundle, _, asked = request.path_params["folder"].rpartition("-")
        file = self._files.get((bundle, request.path_params["name"]))
        if file is None:
            raise NotFound
        # Another hash means a page of the release before or after this one: serve what is here, but let nobody keep it.
        current = asked == self._hashes[bundle]
        headers = {
            "Cache-Control": KEPT if current else "no-store",
            "Content-Type": file.kind,
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
        }
        if file.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(file.packed, headers={**headers, "Content-Encoding": "gzip"})
        return Response(file.body, headers=headers)


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry.read_bytes()
