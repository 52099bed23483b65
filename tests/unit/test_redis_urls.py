"""The forms of GAMEKIT_REDIS_URL, and what is said of one that is wrong."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.sentinel import SentinelConnectionPool

from gamekit.errors import ConfigError
from gamekit.storage.redis import open_redis


def options(url: str) -> dict[str, object]:
    client = open_redis(url)
    assert isinstance(client, Redis)
    return dict(client.connection_pool.connection_kwargs)


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost:6379/2",
        "rediss://localhost",
        "unix:///tmp/valkey.sock",
        "redis+sentinel://a:26379,b:26379/promo/1",
    ],
)
def test_no_command_is_repeated_and_none_waits_long(url: str) -> None:
    """Whatever the form, a client sends a command once and gives up after seconds."""
    chosen = options(url)
    assert chosen["socket_timeout"] == 5
    assert chosen.get("socket_connect_timeout", 2) == 2
    retry = chosen["retry"]
    assert retry.get_retries() == 0  # type: ignore[attr-defined]


def test_a_cluster_client_repeats_nothing_either() -> None:
    """A Cluster's own layer of retries is off too."""
    client = open_redis("redis+cluster://user:p%40ss@a:7000,b:7001")
    assert isinstance(client, RedisCluster)
    assert client.retry.get_retries() == 0
    assert {node.name for node in client.nodes_manager.startup_nodes.values()} == {"a:7000", "b:7001"}
    assert (client.connection_kwargs["username"], client.connection_kwargs["password"]) == ("user", "p@ss")


def test_a_sentinel_url_names_service_database_and_both_logins() -> None:
    """The master's login and the Sentinels' are two."""
    client = open_redis("redis+sentinel://:master@a,[::1]:26380/promo/3?sentinel_password=watch")
    assert isinstance(client, Redis)
    pool = client.connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    assert pool.service_name == "promo"
    assert pool.connection_kwargs["db"] == 3
    assert pool.connection_kwargs["password"] == "master"
    addresses = [sentinel.connection_pool.connection_kwargs for sentinel in pool.sentinel_manager.sentinels]
    assert [(one["host"], one["port"], one["password"]) for one in addresses] == [
        ("a", 26379, "watch"),
        ("::1", 26380, "watch"),
    ]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "starts with no scheme"),
        ("http://localhost", "starts with http"),
        ("redis://localhost?db=two", "Invalid value for 'db'"),
        ("redis+cluster://", "names no host"),
        ("redis+cluster://a:port", "'a:port' where host:port belongs"),
        ("redis+cluster://a:7000/3", "only database 0"),
        ("redis+cluster://a:7000?ssl_ca_certs=/ca.pem", "TLS options without TLS"),
        ("redis+sentinel://a:26379", "does not name the service"),
        ("redis+sentinel://a:26379/promo/x", "'x' where the database's number belongs"),
    ],
)
def test_a_wrong_url_is_refused_with_what_would_be_right(url: str, why: str) -> None:
    """The message names the setting, the fault and the forms there are."""
    with pytest.raises(ConfigError, match="GAMEKIT_REDIS_URL") as caught:
        open_redis(url)
    assert why in caught.value.message
    assert "redis+cluster://host:port" in caught.value.message
