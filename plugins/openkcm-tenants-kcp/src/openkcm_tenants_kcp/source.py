"""kcp as a source of tenants: every workspace that has bound our APIExport is one, by its logical cluster's id."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from openkcm.sdk.checks import Checked
from openkcm.sdk.refusals import Refusal, Remedy, Temporary
from openkcm.sdk.tenant_source import Batch, Known, Observation, TenantStatus
from openkcm_tenants_kcp.api import Answered, Api, Failed
from openkcm_tenants_kcp.following import Following
from openkcm_tenants_kcp.judge import Judgement, judge, present
from openkcm_tenants_kcp.kubeconfig import read_kubeconfig
from openkcm_tenants_kcp.reflector import Reflector
from openkcm_tenants_kcp.resource import Resources
from openkcm_tenants_kcp.rights import check_rights
from openkcm_tenants_kcp.settings import KcpSettings
from openkcm_tenants_kcp.trouble import not_written, said_of, unavailable

#: States of which a workspace that is gone need not be told.
_ENDED = frozenset({"uninstalled", "deleting", "gone", "undone"})
_LIST_S = 30.0


class KcpSource:
    """Tenants from kcp; their status goes into our resource in their workspace."""

    def __init__(self, settings: KcpSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        reading = read_kubeconfig(settings.kubeconfig, context=settings.context)
        writing = (
            read_kubeconfig(settings.writer_kubeconfig, context=settings.writer_context)
            if settings.writer_kubeconfig
            else reading
        )
        self.reader = Api(reading, answer_s=settings.answer_s)
        self.writer = Api(writing, answer_s=settings.answer_s) if settings.writer_kubeconfig else self.reader
        self._resources = Resources(self.reader, self.writer, export=settings.export, clock=clock)
        self._following: Following | None = None

    @property
    def name(self) -> str:
        return "kcp"

    async def list(self) -> Sequence[Observation]:
        following = self._follow(())
        try:
            await asyncio.wait_for(self._listed(following), _LIST_S)
            sights = [following.mirror.sight(cluster) for cluster in sorted(following.mirror.clusters())]
            return [
                present(sight, following.mirror, issuer=self._settings.issuer)
                for sight in sights
                if judge(sight) is Judgement.PRESENT and sight.cluster not in self._settings.skip_clusters
            ]
        except TimeoutError:
            raise unavailable(Failed("not everything was listed in time")) from None
        finally:
            await following.aclose()

    async def watch(self, cursor: str | None, known: Sequence[Known] = ()) -> AsyncIterator[Batch]:
        following = self._following = self._follow(known)
        try:
            async for batch in following.batches():
                yield batch
        finally:
            self._following = None
            await following.aclose()

    async def report(self, statuses: Sequence[TenantStatus]) -> None:
        for status in statuses:
            following = self._following
            seen = following.mirror.sight(status.reference).resource if following is not None else None
            try:
                written = await self._resources.tell(status, seen)
            except Failed as failed:
                raise not_written(failed) from None
            if not written and status.state not in _ENDED:
                raise Temporary(
                    Refusal.STATUS_NOT_WRITTEN,
                    f"No endpoint of kcp serves the workspace {status.reference} just now.",
                    remedy=Remedy(
                        "Nothing, if the account was just uninstalled; else look at its APIBinding.",
                        "Platform operator",
                        "plugins/tenants-kcp#trouble",
                    ),
                )

    async def check(self) -> Sequence[Checked]:
        """Whether kcp answers, and whether our identities have the rights that they need and no more."""
        urls: tuple[str, ...] = ()
        refused: list[Checked] = []
        try:
            urls = await self._resources.urls()
        except Failed as failed:
            what, action = said_of(failed)
            refused = [Checked(level="bad", said=what, action=action)]
            if not isinstance(failed, Answered) or failed.status != 403:
                return refused
        found = await check_rights(self.reader, self.writer, self._settings.export, urls)
        if refused:  # by a right that is named now, or, where none is missing, by a kcp that is just starting
            return found if any(each.level == "bad" for each in found) else [*refused, *found]
        if not urls:
            found.append(
                Checked(
                    level="ok",
                    said="No endpoint yet: one appears when the first account has bound the export.",
                )
            )
        return found

    async def aclose(self) -> None:
        await self.reader.aclose()
        if self.writer is not self.reader:
            await self.writer.aclose()

    def _follow(self, known: Sequence[Known]) -> Following:
        return Following(self.reader, self._resources, self._settings, known, clock=self._clock)

    async def _listed(self, following: Following) -> None:
        """Everything that is served was listed once."""
        await _tried(following.endpoints.slices)
        for each in following.endpoints.reflectors():
            await _tried(each)


async def _tried(each: Reflector[Any]) -> None:
    """It was listed, or, where it need not be there, it was tried."""
    while not each.synced.is_set():
        if each.trouble is not None and each.optional:
            return
        if each.trouble is not None:
            raise unavailable(each.trouble)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await each.synced.wait()
