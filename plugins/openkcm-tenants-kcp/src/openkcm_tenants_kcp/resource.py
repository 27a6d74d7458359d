"""Our own ``Tenant`` resource in a tenant's workspace: made, held by a finalizer, let go, and told the status."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec

from openkcm.sdk.plain_text import display_text
from openkcm.sdk.tenant_source import TenantStatus
from openkcm_tenants_kcp.api import MERGE_PATCH, Answered, Api, Failed, NoAnswer, Unreadable
from openkcm_tenants_kcp.wire import (
    FINALIZER,
    GROUP,
    SLICES,
    TENANT_NAME,
    TENANTS,
    Condition,
    EndpointSlice,
    ObjectList,
    TenantResource,
)

_TRIES: Final = 5
_SLICES_AGE_S: Final = 10.0
_MAX_REMEMBERED: Final = 20_000


class Resources:
    """Writes through whichever endpoint the tenant is served at; another shard's answers 403, and is not asked again.

    ``seen`` is what the mirror of a process that watches has: it saves asking. One that does not watch asks.
    """

    def __init__(
        self,
        reader: Api,
        writer: Api,
        *,
        export: str,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._export = export
        self._clock = clock
        self._now = now
        self._urls: tuple[str, ...] = ()
        self._urls_at = float("-inf")
        self._places: dict[str, str] = {}
        self._asking = asyncio.Lock()

    def served_at(self, cluster: str, url: str) -> None:
        """Who watches has seen the tenant there."""
        if self._places.get(cluster) != url:
            if len(self._places) >= _MAX_REMEMBERED:
                self._places.clear()
            self._places[cluster] = url

    async def make(self, cluster: str, url: str) -> None:
        """The resource is there, held by our finalizer; also where somebody else made it meanwhile."""
        body = {
            "apiVersion": f"{GROUP}/v1alpha1",
            "kind": "Tenant",
            "metadata": {"name": TENANT_NAME, "finalizers": [FINALIZER]},
        }
        try:
            await self._writer.send("POST", _collection(url, cluster), body)
        except Answered as refused:
            if refused.status != 409:
                raise

    async def hold(self, cluster: str, url: str, found: TenantResource) -> None:
        """The resource's deletion waits for us from now on."""
        await self._set_finalizers(cluster, url, found, [*found.metadata.finalizers, FINALIZER])

    async def let_go(self, cluster: str, url: str, found: TenantResource) -> None:
        """The resource's deletion waits for us no more. Only for one that is being deleted.

        A 404 is no proof that it is gone: a kcp that is just starting says so of everything.
        """
        left = [each for each in found.metadata.finalizers if each != FINALIZER]
        await self._set_finalizers(cluster, url, found, left)

    async def _set_finalizers(self, cluster: str, url: str, found: TenantResource, wanted: list[str]) -> None:
        body = {"metadata": {"finalizers": wanted, "resourceVersion": found.metadata.resource_version}}
        await self._writer.send("PATCH", _one(url, cluster), body, content_type=MERGE_PATCH)

    async def get(self, cluster: str, url: str) -> TenantResource | None:
        """The resource as it is now; None where there is none."""
        try:
            body = await self._reader.get(_one(url, cluster))
        except Answered as refused:
            if refused.status == 404:
                return None
            raise
        try:
            return msgspec.json.decode(body, type=TenantResource)
        except msgspec.DecodeError:
            raise Unreadable("our own resource there cannot be read") from None

    async def tell(self, status: TenantStatus, seen: TenantResource | None) -> bool:
        """The status stands in the resource; False where no endpoint serves the tenant (any more).

        Written with the version that was read: who has written meanwhile is not overwritten, but read again.
        """
        cluster, found = status.reference, seen
        last: Failed = NoAnswer("the resource went away at every try")
        for _ in range(_TRIES):
            url = self._places.get(cluster) or await self._search(cluster)
            if url is None:
                return False
            try:
                found = found or await self.get(cluster, url)
                if found is None:
                    await self.make(cluster, url)
                    continue
                wanted = status_of(status, found, now=self._now())
                body = {"metadata": {"resourceVersion": found.metadata.resource_version}, "status": wanted}
                await self._writer.send(
                    "PATCH", f"{_one(url, cluster)}/status", body, content_type=MERGE_PATCH
                )
            except Answered as refused:
                if refused.status == 403:  # another shard has it by now, or nobody, or we may not
                    self._places.pop(cluster, None)
                elif refused.status not in (404, 409):
                    raise
                found, last = None, refused
            else:
                return True
        raise last

    async def urls(self) -> tuple[str, ...]:
        """Every endpoint of our export now; asked at most every ten seconds."""
        async with self._asking:
            if self._clock() - self._urls_at > _SLICES_AGE_S:
                body = await self._reader.get(
                    f"{self._reader.server}{SLICES.path}", {"fieldSelector": f"metadata.name={self._export}"}
                )
                items = msgspec.json.decode(body, type=ObjectList).items or ()
                slices = [msgspec.json.decode(item, type=EndpointSlice) for item in items]
                self._urls = tuple(
                    dict.fromkeys(e.url.rstrip("/") for s in slices for e in s.status.endpoints if e.url)
                )
                self._urls_at = self._clock()
        return self._urls

    async def _search(self, cluster: str) -> str | None:
        for url in await self.urls():
            if await self._serves(url, cluster):
                self.served_at(cluster, url)
                return url
        return None

    async def _serves(self, url: str, cluster: str) -> bool:
        try:
            await self._reader.get(_one(url, cluster))
        except Answered as refused:
            if refused.status == 403:
                return False
            if refused.status != 404:
                raise
        return True


def _collection(url: str, cluster: str) -> str:
    return f"{url}/clusters/{cluster}{TENANTS.path}"


def _one(url: str, cluster: str) -> str:
    return f"{_collection(url, cluster)}/{TENANT_NAME}"


_REASONS: Final = {
    "provisioning": "Provisioning",
    "protected": "Protected",
    "ready": "Ready",
    "undone": "SetUpFailed",
    "uninstalled": "Uninstalled",
    "deleting": "Deleting",
    "gone": "KeysDestroyed",
}


def status_of(status: TenantStatus, found: TenantResource, *, now: datetime) -> dict[str, object]:
    """The resource's status: the address, a sentence, and conditions whose dates move only when they change."""
    reason = _REASONS.get(status.state, "Unknown")
    protected = status.state in ("protected", "ready")
    message = display_text(status.message, max_characters=1024)
    conditions = [
        _condition(found, "Ready", holds=status.state == "ready", reason=reason, message=message, now=now),
        _condition(found, "Protected", holds=protected, reason=reason, message=message, now=now),
        _condition(
            found,
            "OwnerKnown",
            holds=status.owner_known,
            reason="CreatorGranted" if status.owner_known else "CreatorUnknown",
            message=""
            if status.owner_known
            else "Nobody is known to own this account's keys; the operator names one.",
            now=now,
        ),
    ]
    return {
        "tenantId": status.tenant_id,
        "state": status.state,
        "message": message,
        "url": status.url,
        "observedGeneration": found.metadata.generation,
        "conditions": conditions,
    }


def _condition(
    found: TenantResource, kind: str, *, holds: bool, reason: str, message: str, now: datetime
) -> dict[str, object]:
    before: Condition | None = next((each for each in found.status.conditions if each.type == kind), None)
    value = "True" if holds else "False"
    stays = before is not None and before.status == value and before.last_transition_time
    return {
        "type": kind,
        "status": value,
        "reason": reason,
        "message": message,
        "observedGeneration": found.metadata.generation,
        "lastTransitionTime": before.last_transition_time
        if before is not None and stays
        else f"{now:%Y-%m-%dT%H:%M:%SZ}",
    }
