"""The runs this process draws from, each as it was in the epoch last seen."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncEngine

from gamekit.campaigns import repository
from gamekit.campaigns.document import CampaignDocument
from gamekit.campaigns.models import RunKind
from gamekit.campaigns.schemas import parse_document
from gamekit.campaigns.views import RunView
from gamekit.errors import CampaignNotFound
from gamekit.storage.sql import reading
from gamekit.storage.vault import Vault

Name = tuple[str, RunKind]


class Book:
    """Remembers views. A view may be old; whoever acts on one is corrected by the epoch, and reloads."""

    def __init__(self, sql: AsyncEngine, vault: Vault) -> None:
        self._sql = sql
        self._vault = vault
        self._views: dict[Name, RunView] = {}
        self._older: dict[tuple[str, int], CampaignDocument] = {}
        self._loading: dict[Name, asyncio.Task[RunView]] = {}

    def remembered(self, name: Name) -> RunView | None:
        return self._views.get(name)

    async def view(self, name: Name) -> RunView:
        """The run, as remembered or else as it is now. Raises `CampaignNotFound`."""
        return self._views.get(name) or await self.reload(name)

    async def reload(self, name: Name, *, unlike: RunView | None = None) -> RunView:
        """The run as it is now; where `unlike` is given and another view is remembered already, that one."""
        held = self._views.get(name)
        if unlike is not None and held is not None and held is not unlike:
            return held
        earlier = self._loading.get(name)
        if earlier is not None:
            # It began before this call, and so may not know what its caller knows.
            await asyncio.wait([earlier])
        task = self._loading.get(name)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._load(name))
            self._loading[name] = task
            task.add_done_callback(lambda _: self._loading.pop(name, None))
        return await asyncio.shield(task)

    async def at_version(self, view: RunView, number: int) -> RunView:
        """`view` with the document of another odds version of its run, to show a draw of that version."""
        if number == view.version:
            return view
        held = self._older.get((view.run, number))
        if held is None:
            async with reading(self._sql) as connection:
                row = await repository.find_version(connection, view.run, number)
            if row is None:
                raise LookupError(f"run {view.run} has no odds version {number}")
            held = self._older[view.run, number] = parse_document(row.document)
        return replace(
            view,
            version=number,
            document=held,
            table=held.table(),
            fallback=held.fallback.key,
            rules={prize.key: prize for prize in held.prizes},
            pooled=frozenset(prize.key for prize in held.prizes if prize.codes == "pool"),
        )

    async def _load(self, name: Name) -> RunView:
        async with reading(self._sql) as connection:
            view = await repository.load_view(connection, self._vault, *name)
        if view is None:
            self._views.pop(name, None)
            raise CampaignNotFound
        self._views[name] = view
        return view
