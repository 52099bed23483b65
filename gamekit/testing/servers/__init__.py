"""Real servers for tests, benches and fault runs: PostgreSQL, Valkey, and a Valkey Cluster.

They are ordinary processes on this machine with their files in a temporary folder, gone when the context ends.
"""

from __future__ import annotations

from gamekit.testing.servers.postgresql import PostgresServer, postgres
from gamekit.testing.servers.process import finished, free_port
from gamekit.testing.servers.redis import ValkeyCluster, ValkeyServer, valkey, valkey_cluster

__all__ = [
    "PostgresServer",
    "ValkeyCluster",
    "ValkeyServer",
    "finished",
    "free_port",
    "postgres",
    "valkey",
    "valkey_cluster",
]
