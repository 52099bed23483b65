"""Structured logs: JSON by default, one line an event, with nothing in them that names a person or opens a door.

Everything goes through structlog, also what libraries write with `logging`. Values under keys that hold names, codes
or secrets are masked whatever the caller meant, so that a careless `log.info("sent", recipient=…)` leaks nothing.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

MASKED = "[masked]"
SENSITIVE = frozenset(
    {
        "access_token",
        "api_key",
        "app_secret",
        "authorization",
        "code",
        "codes",
        "cookie",
        "email",
        "external_id",
        "first_name",
        "last_name",
        "name",
        "password",
        "phone",
        "psid",
        "recipient",
        "secret",
        "secret_key",
        "seed",
        "set_cookie",
        "signature",
        "text",
        "token",
        "user_name",
        "username",
        "verify_token",
    }
)
_SENSITIVE_ENDS = ("_password", "_secret", "_token")
_QUIET = {
    "alembic": logging.WARNING,
    "uvicorn.access": logging.WARNING,
    "httpx2": logging.WARNING,
    "httpcore2": logging.WARNING,
}


def configure_logging(level: str = "INFO", style: str = "json", *, stream: TextIO | None = None) -> None:
    """Set up logging for this process; `style` is json, or console for a person. Call it once, before anything logs.

    Writes to standard error unless a stream is given, so that standard output stays a command's own.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        mask,
    ]
    if style == "json":
        # Local variables may hold what must not be written; a traceback goes without them.
        tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        last: list[Processor] = [
            structlog.processors.ExceptionRenderer(tracebacks),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    else:
        plain = structlog.dev.plain_traceback
        last = [structlog.dev.ConsoleRenderer(colors=(stream or sys.stderr).isatty(), exception_formatter=plain)]
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name, threshold in _QUIET.items():
        logging.getLogger(name).setLevel(threshold)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def mask(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: values under sensitive keys become `[masked]`, also inside dictionaries and lists."""
    return {key: MASKED if _is_sensitive(key) else _clean(value) for key, value in event.items()}


def _clean(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: MASKED if _is_sensitive(key) else _clean(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(inner) for inner in value]
    return value


def _is_sensitive(key: object) -> bool:
    plain = str(key).lower().replace("-", "_")
    return plain in SENSITIVE or plain.endswith(_SENSITIVE_ENDS)
