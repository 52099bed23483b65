"""The one place that opens a Redis or Valkey client: standalone, over a Unix socket, Sentinel or Cluster.

A command is sent once. A time-out means *unknown*, not *failed*, so whether to repeat is for the caller to decide, who
knows what a repeat would do; the client's own retries (ten by default in redis-py 8) are off. Connecting, and following
a Cluster's redirections, are not repeats of a command and stay with the client.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from gamekit.errors import ConfigError, Problem

__all__ = ["RedisClient", "RedisError", "open_redis", "primaries"]

RedisClient: TypeAlias = Redis | RedisCluster

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 5.0

_FORMS = (
    "redis://host:port/db, rediss://… with TLS, unix:///path, redis+cluster://host:port,host:port or "
    "redis+sentinel://host:port,host:port/service/db"
)
_SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")


def open_redis(url: str) -> RedisClient:
    """A client for `url`; connects on first use. The caller closes it with `aclose()`.

    Replies are bytes. Raises `ConfigError` where the URL is none of the forms gamekit knows.
    """
    parts = urlsplit(url)
    secure = parts.scheme.startswith("rediss")
    match parts.scheme:
        case "redis" | "rediss" | "unix":
            return _open_one(url)
        case "redis+cluster" | "rediss+cluster":
            return _open_cluster(parts, secure=secure)
        case "redis+sentinel" | "rediss+sentinel":
            return _open_sentinel(parts, secure=secure)
    raise _unusable(f"starts with {parts.scheme or 'no scheme'}")


def _open_one(url: str) -> Redis:
    try:
        named = parse_url(url)
    except ValueError as error:
        raise _unusable(str(error)) from error
    # A Unix socket's connection knows no time-out for connecting.
    unknown = {"socket_connect_timeout"} if "path" in named else set()
    return Redis.from_url(url, **{name: value for name, value in _options().items() if name not in unknown})


def _open_cluster(parts: SplitResult, *, secure: bool) -> RedisCluster:
    where = _Netloc.read(parts)
    if parts.path.strip("/") not in ("", "0"):
        raise _unusable("names a database, and a Cluster has only database 0")
    return RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in where.hosts(default_port=6379)],
        username=where.username,
        password=where.password,
        ssl=secure,
        **_options(),
        **_tls_options(parts, secure=secure),
    )


def _open_sentinel(parts: SplitResult, *, secure: bool) -> Redis:
    where = _Netloc.read(parts)
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise _unusable("does not name the service that the Sentinels watch")
    if database and not database.isdigit():
        raise _unusable(f"has {database!r} where the database's number belongs")
    query = dict(parse_qsl(parts.query))
    login = {name.removeprefix("sentinel_"): query[name] for name in _SENTINEL_OPTIONS if name in query}
    tls = _tls_options(parts, secure=secure)
    sentinels = Sentinel(  # type: ignore[no-untyped-call]  # redis-py leaves this constructor without types
        where.hosts(default_port=26379), sentinel_kwargs={**_options(), **login, **tls, "ssl": secure}
    )
    client = sentinels.master_for(
        unquote(service),
        redis_class=_SentinelRedis,
        db=int(database or 0),
        username=where.username,
        password=where.password,
        ssl=secure,
        **_options(),
        **tls,
    )
    assert isinstance(client, _SentinelRedis)
    return client


async def primaries(client: RedisClient) -> list[tuple[str, dict[str, Any]]]:
    """The servers that hold the data, each with its address and the options that send a command to it."""
    if isinstance(client, RedisCluster):
        cluster = await client.initialize()
        return [(str(node.name), {"target_nodes": node}) for node in cluster.get_primaries()]
    return [("", {})]


class _SentinelRedis(Redis):
    """The master's client, which also closes the connections to the Sentinels."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:  # noqa: FBT001  # redis-py's signature
        await super().aclose(close_connection_pool)
        pool = self.connection_pool
        if isinstance(pool, SentinelConnectionPool):
            await pool.sentinel_manager.aclose()


@dataclass(frozen=True, slots=True)
class _Netloc:
    """The part of a URL that names several hosts, which `urllib` cannot take apart."""

    addresses: tuple[str, ...]
    username: str | None
    password: str | None

    @classmethod
    def read(cls, parts: SplitResult) -> _Netloc:
        login, _, hosts = parts.netloc.rpartition("@")
        username, _, password = login.partition(":")
        return cls(tuple(hosts.split(",")), unquote(username) or None, unquote(password) or None)

    def hosts(self, *, default_port: int) -> list[tuple[str, int]]:
        found = []
        for address in self.addresses:
            try:
                one = urlsplit(f"//{address}")
                host, port = one.hostname, one.port
            except ValueError as error:
                raise _unusable(f"has {address!r} where host:port belongs") from error
            if not host:
                raise _unusable("names no host")
            found.append((host, default_port if port is None else port))
        return found


def _options() -> dict[str, Any]:
    return {
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        # They lengthen time-outs on a server's word, and cost a round trip per connection where no server sends them.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


def _tls_options(parts: SplitResult, *, secure: bool) -> dict[str, Any]:
    """`ssl_ca_certs` and the like, written as in a rediss:// URL."""
    try:
        given = parse_url(f"redis://?{parts.query}")
    except ValueError as error:
        raise _unusable(str(error)) from error
    options: dict[str, Any] = {name: value for name, value in given.items() if name.startswith("ssl_")}
    if options and not secure:
        raise _unusable("sets TLS options without TLS; rediss+… has it")
    return options


def _unusable(why: str) -> ConfigError:
    sentence = f"GAMEKIT_REDIS_URL {why}; write {_FORMS}"
    return ConfigError(sentence, problems=(Problem("GAMEKIT_REDIS_URL", f"{why}; write {_FORMS}"),))
