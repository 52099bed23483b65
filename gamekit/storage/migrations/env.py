"""Alembic runs this file; whoever calls Alembic hands it an open connection (and, to compare, the models' metadata)."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import BigInteger, String

from gamekit.storage.types import BigId, Instant, Json


def render(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Our column types by the names they have in `gamekit.storage.types`."""
    if kind != "type":
        return False
    name = None
    if isinstance(item, Instant):
        name = "Instant"
    elif isinstance(item, String) and "postgresql" in item._variant_mapping:
        name = "key_text"
    elif isinstance(item, BigInteger) and item._variant_mapping.keys() == BigId._variant_mapping.keys():
        name = "BigId"
    elif type(item) is type(Json):
        name = "Json"
    if name is None:
        return False
    autogen.imports.add(f"from gamekit.storage.types import {name}")
    return f"key_text({item.length})" if name == "key_text" else name


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=context.config.attributes.get("metadata"),
    render_item=render,
    # SQLite alters little in place; Alembic then copies the table.
    render_as_batch=context.config.attributes["connection"].dialect.name == "sqlite",
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
