"""Templates: one Jinja environment per page package; an undefined name is an error, everything is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

from jinja2 import BaseLoader, Environment, PackageLoader, PrefixLoader, StrictUndefined
from starlette.responses import HTMLResponse

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Pages:
    """Renders a template with its documented context."""

    def __init__(self, package: str, *, more: Mapping[str, str] | None = None) -> None:
        """`package` holds `templates`; `more` maps a prefix to another package whose templates may be included."""
        loaders: dict[str, BaseLoader] = {prefix: PackageLoader(name) for prefix, name in (more or {}).items()}
        self._environment = Environment(
            loader=_Loaders(PackageLoader(package), loaders),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def render(
        self, template: str, context: DataclassInstance, *, headers: Mapping[str, str], status: int = 200
    ) -> HTMLResponse:
        """A page: `context` is the template's own dataclass, its fields the template's names."""
        names = {field.name: getattr(context, field.name) for field in fields(context)}
        text = self._environment.get_template(template).render(names)
        return HTMLResponse(text, status, dict(headers))


class _Loaders(PrefixLoader):
    """A package's own templates by plain name, and those of others as `prefix:name`."""

    def __init__(self, own: BaseLoader, others: Mapping[str, BaseLoader]) -> None:
        super().__init__({"": own, **others}, delimiter=":")

    def get_loader(self, template: str) -> tuple[BaseLoader, str]:
        return super().get_loader(template if ":" in template else f":{template}")
