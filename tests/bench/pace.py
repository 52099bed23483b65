"""Open-loop load: requests leave at set times, whether or not earlier ones were answered.

Each one's time counts from when it should have left, so a server that stalls is charged for everybody who would have
come meanwhile.

`python -m tests.bench.pace '{…}'` prints one JSON line. One thread sends, another reads: a thread's sleep is precise to
some 0.1 ms, an event loop's timers only to 1 ms.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import threading
from collections import deque
from dataclasses import dataclass, field
from statistics import quantiles
from time import perf_counter, sleep

LINGER_SECONDS = 5.0


@dataclass(slots=True)
class Job:
    """What to send, and how fast."""

    host: str
    port: int
    path: str
    secret: str
    mark: str
    players: int
    connections: int
    rate: float
    seconds: float
    warm_up: float
    """Seconds at the beginning whose answers do not count."""

    def request(self, number: int) -> bytes:
        body = f'{{"player": {{"channel": "messenger", "id": "p{number % self.players + 1}"}}}}'
        return (
            f"POST {self.path} HTTP/1.1\r\nHost: {self.host}\r\nAuthorization: Bearer {self.secret}\r\n"
            f"Content-Type: application/json\r\nIdempotency-Key: {self.mark}-{number}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


@dataclass(slots=True)
class Line:
    """One connection with the request under way on it."""

    socket: socket.socket
    due: float = 0.0
    received: bytes = b""


@dataclass(slots=True)
class Load:
    """One run of the load."""

    job: Job
    free: deque[Line] = field(default_factory=deque)
    waiting: deque[tuple[float, bytes]] = field(default_factory=deque)
    """What was due while no connection was free."""
    answers: list[tuple[float, float]] = field(default_factory=list)
    """When each answered request was due, and how long its answer took from then."""
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> dict[str, object]:
        selector = selectors.DefaultSelector()
        for _ in range(self.job.connections):
            line = Line(socket.create_connection((self.job.host, self.job.port)))
            line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(line.socket, selectors.EVENT_READ, line)
            self.free.append(line)
        sent = round(self.job.rate * self.job.seconds)
        reader = threading.Thread(target=self._read, args=(selector, sent))
        reader.start()
        began = perf_counter() + 0.05
        lateness = []
        for number in range(sent):
            due = began + number / self.job.rate
            request = self.job.request(number)
            while (early := due - perf_counter()) > 0:
                sleep(early)
            lateness.append(perf_counter() - due)
            self._send(due, request)
        reader.join()
        counted = sorted(took * 1000 for due, took in self.answers if due - began >= self.job.warm_up)
        cuts = quantiles(counted, n=100)
        return {
            "sent": sent,
            "answered": len(self.answers),
            "refused": self.refused,
            "p50_ms": cuts[49],
            "p99_ms": cuts[98],
            "longest_ms": counted[-1],
            "sender_late_p99_ms": quantiles(lateness, n=100)[98] * 1000,
        }

    def _send(self, due: float, request: bytes) -> None:
        with self.lock:
            if not self.free:
                self.waiting.append((due, request))
                return
            line = self.free.popleft()
        line.due = due
        line.socket.sendall(request)

    def _read(self, selector: selectors.BaseSelector, expected: int) -> None:
        quiet_until = perf_counter() + self.job.seconds + LINGER_SECONDS
        while len(self.answers) < expected and perf_counter() < quiet_until:
            for event, _ in selector.select(0.1):
                line: Line = event.data
                line.received += line.socket.recv(65_536)
                if _is_whole(line.received):
                    self._note(line)

    def _note(self, line: Line) -> None:
        now = perf_counter()
        self.answers.append((line.due, now - line.due))
        self.refused += not line.received.startswith((b"HTTP/1.1 201", b"HTTP/1.1 200"))
        line.received = b""
        with self.lock:
            if not self.waiting:
                self.free.append(line)
                return
            line.due, request = self.waiting.popleft()
        line.socket.sendall(request)


def _is_whole(received: bytes) -> bool:
    head, gap, body = received.partition(b"\r\n\r\n")
    if not gap:
        return False
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    return len(body) >= int(length)


if __name__ == "__main__":
    print(json.dumps(Load(Job(**json.loads(sys.argv[1]))).run()))
