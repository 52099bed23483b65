"""A TCP proxy that breaks connections at a chosen moment: before a command arrives, or after it was done and unanswered.

It runs in a thread of its own, so that it goes on while a test's event loop stands still or dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum


class Cut(StrEnum):
    """Where a connection breaks."""

    BEFORE = "before"
    """The command never arrives."""
    AFTER = "after"
    """The command is carried out; its answer never arrives."""


@dataclass(slots=True)
class _Rule:
    pattern: bytes
    cut: Cut
    times: int


@dataclass(slots=True)
class Proxy:
    """In front of one server. Every method may be called from any thread."""

    target: tuple[str, int]
    port: int = 0
    fired: int = 0
    """How many connections a rule has broken so far."""
    _rules: list[_Rule] = field(default_factory=list)
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _open: bool = True
    _delay: float = 0.0
    loop: asyncio.AbstractEventLoop | None = None

    host = "127.0.0.1"

    def cut(self, pattern: bytes, cut: Cut, *, times: int = 1) -> None:
        """Break the connection of the next `times` commands that contain `pattern`."""
        self._rules.append(_Rule(pattern, cut, times))

    def delay(self, seconds: float) -> None:
        """Let everything wait that long on its way to the server."""
        self._delay = seconds

    def shut(self) -> None:
        """Break every connection and take no more: the server is away, or this client is dead."""
        self._open = False
        assert self.loop is not None
        done = threading.Event()

        def drop() -> None:
            self.drop_all()
            done.set()

        self.loop.call_soon_threadsafe(drop)
        done.wait(5)

    def open(self) -> None:
        """Take connections again, and forget every rule and delay."""
        self._rules.clear()
        self._delay = 0.0
        self._open = True

    def drop_all(self) -> None:
        for writer in list(self.writers):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._open:
            writer.transport.abort()
            return
        try:
            upstream_reader, upstream = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        mute = asyncio.Event()
        self.writers |= {writer, upstream}
        there = asyncio.create_task(self._forward(reader, upstream, mute))
        back = asyncio.create_task(self._back(upstream_reader, writer, mute))
        try:
            await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (there, back):
                task.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
            for one in (writer, upstream):
                one.transport.abort()
                self.writers.discard(one)

    async def _forward(self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter, mute: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 20):
                if self._delay:
                    await asyncio.sleep(self._delay)
                cut = self._match(data)
                if cut is Cut.BEFORE:
                    return
                if cut is Cut.AFTER:
                    mute.set()
                upstream.write(data)
                await upstream.drain()

    async def _back(self, upstream: asyncio.StreamReader, client: asyncio.StreamWriter, mute: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while data := await upstream.read(1 << 20):
                if mute.is_set():
                    # The server has answered, so what was asked is done; the answer goes no further.
                    return
                client.write(data)
                await client.drain()

    def _match(self, data: bytes) -> Cut | None:
        for rule in self._rules:
            if rule.times and rule.pattern in data:
                rule.times -= 1
                self.fired += 1
                return rule.cut
        return None


@contextmanager
def proxied(host: str, port: int) -> Iterator[Proxy]:
    """A proxy in front of `host`:`port`, on a free port of its own."""
    proxy = Proxy((host, port))
    started = threading.Event()
    stop: asyncio.Event

    async def main() -> None:
        nonlocal stop
        stop = asyncio.Event()
        server = await asyncio.start_server(proxy.serve, proxy.host, 0)
        proxy.port = server.sockets[0].getsockname()[1]
        proxy.loop = asyncio.get_running_loop()
        started.set()
        await stop.wait()
        server.close()
        proxy.drop_all()
        # Every connection ends by itself once it is dropped.
        for _ in range(50):
            if not proxy.writers:
                break
            await asyncio.sleep(0.01)

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield proxy
    finally:
        assert proxy.loop is not None
        proxy.loop.call_soon_threadsafe(stop.set)
        thread.join(10)
