"""The endpoints of our export as they come and go: one set of reflectors for each, as long as it is in the slice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from openkcm_tenants_kcp.api import Api
from openkcm_tenants_kcp.mirror import Endpoint, Mirror
from openkcm_tenants_kcp.reflector import Reflector
from openkcm_tenants_kcp.settings import KcpSettings
from openkcm_tenants_kcp.wire import SLICES, EndpointSlice

Any_ = Reflector[Any]


@dataclass(slots=True)
class _Watched:
    """What must have been listed before the endpoint's tenants are judged, what helps, and the tasks."""

    bindings: Any_
    logical: Any_
    others: tuple[Any_, ...]
    tasks: tuple[asyncio.Task[None], ...]

    @property
    def all(self) -> tuple[Any_, ...]:
        return (self.bindings, self.logical, *self.others)


class Endpoints:
    """Follows the slice of ``settings.export`` and keeps ``mirror`` as the endpoints show it, until closed.

    A URL that leaves the slice goes on answering, with nothing in it: it is the slice that is believed.
    """

    def __init__(
        self, api: Api, mirror: Mirror, settings: KcpSettings, *, clock: Callable[[], float]
    ) -> None:
        self._api = api
        self._mirror = mirror
        self._settings = settings
        self._clock = clock
        self._named: dict[str, tuple[str, ...]] = {}
        self._watched: dict[str, _Watched] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self.slices = Reflector(
            api,
            api.server,
            SLICES,
            self,
            settings,
            clock,
            scope="",
            select={"fieldSelector": f"metadata.name={settings.export}"},
        )
        self._following = asyncio.create_task(self.slices.run())

    def put(self, found: EndpointSlice) -> None:
        self._named[found.metadata.name] = tuple(
            each.url.rstrip("/") for each in found.status.endpoints if each.url
        )
        self._settle()

    def gone(self, found: EndpointSlice) -> None:
        self._named.pop(found.metadata.name, None)
        self._settle()

    def replace(self, found: Sequence[EndpointSlice], unreadable: Sequence[tuple[str, str]]) -> None:
        if unreadable:
            return  # what a slice that cannot be read says is not that there are no endpoints
        self._named.clear()
        for each in found:
            self.put(each)
        self._settle()

    @property
    def complete(self) -> bool:
        """Whether everything that tenants are told by was listed, and nothing of it is in trouble now.

        Only then does a tenant that is not shown count as missing.
        """
        return (
            self.slices.synced.is_set()
            and self.slices.trouble is None
            and all(
                each.bindings.synced.is_set() and each.bindings.trouble is None
                for each in self._watched.values()
            )
        )

    def listed(self, url: str) -> bool:
        """Whether everything of this endpoint was listed; of what it may not serve, that it was tried."""
        watched = self._watched.get(url)
        return (
            watched is not None
            and watched.bindings.synced.is_set()
            and all(each.synced.is_set() or each.trouble is not None for each in watched.all)
        )

    def reflectors(self) -> Iterator[Any_]:
        yield self.slices
        for each in self._watched.values():
            yield from each.all

    def check(self) -> None:
        """Raises what ended a task, which nothing but a defect of ours does."""
        for task in (self._following, *(task for each in self._watched.values() for task in each.tasks)):
            if task.done() and not task.cancelled() and (defect := task.exception()) is not None:
                raise defect

    async def aclose(self) -> None:
        tasks = {
            self._following,
            *self._ending,
            *(task for each in self._watched.values() for task in each.tasks),
        }
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task

    def _settle(self) -> None:
        wanted = {url for urls in self._named.values() for url in urls}
        for url in wanted - self._watched.keys():
            self._watched[url] = self._begin(self._mirror.endpoint(url))
        for url in self._watched.keys() - wanted:
            for task in self._watched.pop(url).tasks:
                task.cancel()
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)
            self._mirror.forget(url)
        self._mirror.wake.set()

    def _begin(self, endpoint: Endpoint) -> _Watched:
        def follow(table: Any, *, optional: bool = False) -> Any_:  # noqa: ANN401 - a table of any of the kinds
            return Reflector(
                self._api, endpoint.url, table.resource, table, self._settings, self._clock, optional=optional
            )

        bindings = follow(endpoint.bindings)
        logical = follow(endpoint.logical, optional=True)
        others = (
            follow(endpoint.resources),
            *(
                follow(each, optional=True)
                for each in (endpoint.infos, endpoint.accounts, endpoint.workspaces)
            ),
        )
        tasks = tuple(asyncio.create_task(each.run()) for each in (bindings, logical, *others))
        return _Watched(bindings, logical, others, tasks)
