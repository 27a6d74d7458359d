"""One run of following kcp: from what the core has, to what is seen, batch by batch."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from openkcm.sdk.refusals import Refusal
from openkcm.sdk.tenant_id import is_tenant_id
from openkcm.sdk.tenant_source import Batch, Known, Observation, Presence, Problem, Remark, RemarkKind
from openkcm_tenants_kcp.api import Answered, Api, Failed
from openkcm_tenants_kcp.endpoints import Endpoints
from openkcm_tenants_kcp.judge import Judgement, ended, judge, known_of, present
from openkcm_tenants_kcp.keeper import Keeper
from openkcm_tenants_kcp.mirror import Mirror, Sight
from openkcm_tenants_kcp.resource import Resources
from openkcm_tenants_kcp.settings import KcpSettings
from openkcm_tenants_kcp.trouble import most_gone, problem_of, unavailable

MAX_BATCH: Final = 100
#: Nothing of a past run has to be remembered: everything is listed at the start, and compared with what the core has.
CURSOR: Final = "listed"
_START_S: Final = 3.0
_TICK_S: Final = 1.0
_LISTED_S: Final = 0.05
_ALARM_S: Final = 60.0
#: Fewer than these that go at once are no surprise.
_MANY: Final = 5


class Following:
    """Made for one ``watch``; ``aclose`` ends everything that it has begun."""

    def __init__(
        self,
        reader: Api,
        resources: Resources,
        settings: KcpSettings,
        known: Sequence[Known],
        *,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._resources = resources
        self._clock = clock
        self.mirror = Mirror()
        self.endpoints = Endpoints(reader, self.mirror, settings, clock=clock)
        #: What the core has of those of whom there is still something to say; of one being deleted there is nothing.
        self._stored = {
            each.tenant_id: each
            for each in known
            if each.tenant_id is not None and each.presence is not Presence.DELETING
        }
        #: Whose deletion is stored: only a LogicalCluster that is seen, and does not go, takes that back.
        self._deleting = {each.tenant_id for each in known if each.presence is Presence.DELETING}
        self._told: dict[str, Observation] = {}
        self._missing: dict[str, float] = {}
        #: By endpoint that is not listed yet: who is looked at as soon as it is.
        self._unlisted: dict[str, set[str]] = {}
        self._remarks: list[Remark] = []
        self._said: list[Problem] | None = None
        self.keeper = Keeper(
            reader,
            resources,
            sight=self.mirror.sight,
            stored=self._presence,
            removed=self._removed,
            touch=self.mirror.touch,
            clock=clock,
        )

    async def batches(self) -> AsyncIterator[Batch]:
        """Batches without end. Raises ``Temporary`` where kcp cannot be read at the start."""
        await self._begin()
        while True:
            self.endpoints.check()
            self.keeper.check()
            clusters = self.mirror.take(MAX_BATCH)
            observations = [found for cluster in clusters if (found := self._look(cluster)) is not None]
            observations += self._confirmed(MAX_BATCH - len(observations))
            remarks, self._remarks = self._remarks, []
            problems = self._problems()
            if observations or remarks or problems != self._said:
                yield Batch(
                    cursor=CURSOR,
                    observations=observations,
                    remarks=remarks,
                    problems=problems,
                    problems_complete=True,
                )
                # Who asks for more has stored what there was: now it may be acted on.
                self._said = problems
                for each in observations:
                    self._store(each)
            for cluster in clusters:
                self.keeper.look(cluster)
            if not self.mirror.changed:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_TICK_S):
                        await self.mirror.wake.wait()

    async def aclose(self) -> None:
        self._unlisted.clear()
        await self.keeper.aclose()
        await self.endpoints.aclose()

    async def _begin(self) -> None:
        """The slice was read. Without it nothing is known of anybody, and the core is told why."""
        ends = self._clock() + _START_S
        while not self.endpoints.slices.synced.is_set():
            failed = self.endpoints.slices.trouble
            if failed is not None and (isinstance(failed, Answered) or self._clock() >= ends):
                raise unavailable(failed)
            self.endpoints.check()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await self.endpoints.slices.synced.wait()
        for cluster in self._stored:
            self.mirror.touch(cluster)

    def _look(self, cluster: str) -> Observation | None:
        """What is to be said of it now, if anything."""
        if cluster in self._settings.skip_clusters or not is_tenant_id(cluster):
            self.mirror.left.pop(cluster, None)
            return None
        sight = self.mirror.sight(cluster)
        if sight.url:
            self._resources.served_at(cluster, sight.url)
            if not self.endpoints.listed(sight.url):
                self._later(cluster, sight.url)
                return None
        judgement, stored = judge(sight), self._stored.get(cluster)
        missing = judgement is Judgement.MISSING and not self.mirror.obscured(cluster)
        if not missing:
            self._missing.pop(cluster, None)
        if judgement is Judgement.PRESENT:
            return self._present(sight)
        if stored is None:
            self.mirror.left.pop(cluster, None)
            return None
        if judgement is Judgement.DELETING:
            return ended(stored, Presence.DELETING, sight)
        if judgement is Judgement.LEAVING and stored.presence is Presence.PRESENT:
            return ended(stored, Presence.UNINSTALLED, sight)
        if missing and stored.presence is Presence.PRESENT:
            self._missing.setdefault(cluster, self._clock())
        return None

    def _present(self, sight: Sight) -> Observation | None:
        if sight.cluster in self._deleting and sight.logical is None:
            return None  # a claim taken back, or a binding that is seen late, says nothing of the deletion
        found = present(sight, self.mirror, issuer=self._settings.issuer)
        return found if self._told.get(sight.cluster) != found else None

    def _later(self, cluster: str, url: str) -> None:
        if not self._unlisted:
            asyncio.get_running_loop().call_later(_LISTED_S, self._listed)
        self._unlisted.setdefault(url, set()).add(cluster)

    def _listed(self) -> None:
        """Whoever waited for an endpoint that is listed by now, or has left the slice, is looked at."""
        for url in list(self._unlisted):
            if self.endpoints.listed(url) or url not in self.mirror.endpoints:
                for cluster in self._unlisted.pop(url):
                    self.mirror.touch(cluster)
        if self._unlisted:
            asyncio.get_running_loop().call_later(_LISTED_S, self._listed)

    def _confirmed(self, most: int) -> list[Observation]:
        """Tenants that no endpoint has shown for long enough, while every endpoint was in order."""
        if not self.endpoints.complete:
            # What is missing while something cannot be seen is not missing: the time begins anew.
            now = self._clock()
            self._missing = dict.fromkeys(self._missing, now)
            return []
        wait_s = self._settings.all_gone_confirm_s if self._most_gone() else self._settings.confirm_s
        due = [each for each, at in self._missing.items() if self._clock() - at >= wait_s]
        found = []
        for cluster in due[: max(0, most)]:
            del self._missing[cluster]
            stored = self._stored.get(cluster)
            if stored is not None and stored.presence is Presence.PRESENT:
                found.append(ended(stored, Presence.UNINSTALLED, self.mirror.sight(cluster)))
        return found

    def _most_gone(self) -> bool:
        """Whether so many are missing that a mistake is likelier than as many uninstalls: an emptied slice, say."""
        if len(self._missing) < _MANY:
            return False  # before anybody is counted: this is asked with every change
        present = sum(each.presence is Presence.PRESENT for each in self._stored.values())
        return 2 * len(self._missing) > present

    def _store(self, told: Observation) -> None:
        cluster = told.reference
        if told.presence is Presence.PRESENT:
            self._told[cluster] = told
        else:
            self._told.pop(cluster, None)
            self.mirror.left.pop(cluster, None)
        if told.presence is Presence.DELETING:
            self._stored.pop(cluster, None)
            self._deleting.add(cluster)
        else:
            self._deleting.discard(cluster)
            self._stored[cluster] = known_of(told)
        self.keeper.look(cluster)

    def _presence(self, cluster: str) -> Presence | None:
        stored = self._stored.get(cluster)
        return stored.presence if stored is not None else None

    def _removed(self, sight: Sight) -> None:
        self._remarks.append(
            Remark(
                tenant_id=sight.cluster,
                kind=RemarkKind.RESOURCE_REMOVED,
                detail="The resource Tenant in the account's workspace was deleted by a member. It was made again.",
            )
        )
        self.mirror.wake.set()

    def _problems(self) -> list[Problem]:
        """What the operator should know: answers that fail for a minute, and objects that cannot be read."""
        now = self._clock()
        found = [
            problem_of(each.trouble, f"{each.resource.plural} at {each.base}")
            for each in self.endpoints.reflectors()
            if each.trouble is not None
            and now - each.troubled_at >= _ALARM_S
            and not (each.optional and _not_offered(each.trouble))
        ]
        if self._most_gone():
            found.append(
                most_gone(len(self._missing), self._settings.export, self._settings.all_gone_confirm_s)
            )
        if self.keeper.trouble is not None:
            found.append(problem_of(self.keeper.trouble, "the resource Tenant in an account's workspace"))
        found += [
            Problem(
                origin=where,
                line=None,
                refusal=Refusal.MANIFEST_UNREADABLE,
                message="An object there cannot be read and was passed over; the others go on.",
            )
            for where in self.mirror.unreadable()[:100]
        ]
        return found


def _not_offered(failed: Failed) -> bool:
    """A platform without these resources, or a claim that was not accepted: known creators need them, nothing else."""
    return isinstance(failed, Answered) and failed.status in (403, 404)
