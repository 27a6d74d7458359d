"""The worker process, put together: tenant sources, sagas, outbox, notices. Control's other half beside the web."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from arq.connections import RedisSettings

from openkcm.activation import adopt, carry
from openkcm.activation.means import Means as KeyMeans
from openkcm.activation.plan import CHANGE_KEYS, change_keys
from openkcm.activation.sweep import LOCK as KEYS
from openkcm.activation.sweep import Sweep as KeySweep
from openkcm.activation.told import KeysTold
from openkcm.catalog.load import load
from openkcm.catalog.registry import Broken, Registry
from openkcm.crypto.client import PinnedRegions
from openkcm.ending.means import Means as EndMeans
from openkcm.ending.plan import END_TENANT, end_tenant
from openkcm.ending.sweep import LOCK, Sweep
from openkcm.ending.told import EndTold
from openkcm.kernel import outbox, queue
from openkcm.kernel.clock import SystemClock
from openkcm.kernel.commands import commands_are_given_as
from openkcm.kernel.db import Role, close_database, open_database, transaction
from openkcm.kernel.installation import open_installation
from openkcm.kernel.log import get_logger
from openkcm.kernel.migrate import check_schema
from openkcm.keystores.told import Telling
from openkcm.keystores.watch import LOCK as LINKS
from openkcm.keystores.watch import Watch
from openkcm.notices import put as notices_put
from openkcm.notices.deliver import deliverer
from openkcm.parties.identity import load_identity
from openkcm.parties.pins import Pins
from openkcm.parties.settings import read_pins
from openkcm.propagation import agree, changed, remarked, reported
from openkcm.provisioning import begin, overlooked
from openkcm.provisioning.means import Means
from openkcm.provisioning.plan import NEW_TENANT, new_tenant
from openkcm.provisioning.probe import probing
from openkcm.provisioning.told import Told
from openkcm.saga import runner
from openkcm.settings import Settings, needed
from openkcm.tenancy.leader import lead
from openkcm.tenancy.sources import follow
from openkcm.uses.keep import LOCK as CHECKPOINTS
from openkcm.uses.keep import Checkpoints

log = get_logger(__name__)

_SWEEPS = 5  # a day more or less is no matter for what it looks for


async def run_worker(
    settings: Settings, *, ready: Callable[[Sequence[Broken]], None] = lambda _: None
) -> None:
    """Works until cancelled; what was under way is taken up again by whoever works next.

    ``ready`` is called once, when everything is open, with the plugins that were left out.

    Raises:
        Refused: a setting, an identity, a pin, a schema or a database that this process cannot start with.
    """
    commands_are_given_as(settings.control.operator_command)
    database = needed(settings.control.worker_database, "control.worker_database")
    redis = RedisSettings.from_dsn(settings.control.redis)
    connections = settings.worker.database_connections
    await open_database(database, application="openkcm-worker", max_size=connections)
    try:
        async with transaction(Role.SYSTEM) as tx:
            await check_schema(tx, name="control")
        kept = settings.control.state_directory
        await open_installation(Role.SYSTEM, Path(kept) if kept else None)
        registry = load(settings.plugins)
        for broken in registry.broken:
            log.error("worker.plugin_left_out", plugin=broken.name, reason=broken.reason)
        async with _means(settings, registry) as means, queue.waking(redis):
            await _work(settings, means, registry, redis, ready)
    finally:
        await close_database()


@contextlib.asynccontextmanager
async def _means(settings: Settings, registry: Registry) -> AsyncIterator[Means]:
    identity = load_identity(Path(needed(settings.parties.identity, "parties.identity")))
    regions = PinnedRegions(identity, read_pins(settings.parties.pins), settings.control.regions)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(regions.aclose)
        for source in registry.tenant_sources.values():
            stack.push_async_callback(source.aclose)
        for notifier in registry.notifiers.values():
            stack.push_async_callback(notifier.aclose)
        yield Means(
            regions=regions,
            region_set=settings.tenants.regions or tuple(regions.names()),
            identity=identity,
            clock=SystemClock(),
            sources={source.name: source for source in registry.tenant_sources.values()},
            notifiers=tuple(registry.notifiers.values()),
            public_url=settings.public_url,
            operator=settings.notices.operator,
            owner_wait_s=settings.tenants.owner_wait_s,
            probe=await stack.enter_async_context(probing()),
        )


async def _work(
    settings: Settings,
    means: Means,
    registry: Registry,
    redis: RedisSettings,
    ready: Callable[[Sequence[Broken]], None],
) -> None:
    worker = settings.worker
    ending = EndMeans(
        regions=means.regions,
        identity=means.identity,
        pins=read_pins(settings.parties.pins),
        clock=means.clock,
        sources=means.sources,
        public_url=means.public_url,
        operator=means.operator,
    )
    keys = KeyMeans(
        regions=means.regions,
        identity=means.identity,
        pins=ending.pins,
        clock=means.clock,
        public_url=means.public_url,
        operator=means.operator,
        key_wait_s=settings.tenants.key_wait_s,
        shared_root_keys=settings.control.shared_root_keys,
    )
    sagas = runner.Runner(
        {NEW_TENANT: new_tenant(means), END_TENANT: end_tenant(ending), CHANGE_KEYS: change_keys(keys)},
        Told(means),
        clock=means.clock,
        observers={END_TENANT: EndTold(ending), CHANGE_KEYS: KeysTold(keys.deciding)},
        lease_s=worker.lease_s,
    )
    sources: dict[str, queue.Source] = {
        outbox.KIND: outbox.Outbox(
            {
                **_handlers(means, sagas, ending.pins),
                carry.TOPIC: carry.Carry(keys),
                adopt.TOPIC: adopt.Adopt(keys),
            },
            lease_s=worker.lease_s,
        ),
        runner.KIND: sagas,
    }
    async with asyncio.TaskGroup() as group:
        group.create_task(queue.work(sources, redis, max_jobs=worker.jobs, poll_s=worker.poll_s))
        group.create_task(queue.sweep(sources, every_s=worker.sweep_s))
        group.create_task(sagas.run())
        database = needed(settings.control.worker_database, "control.worker_database")
        group.create_task(lead(database, "overlooked", overlooked.keep_looking))
        for source in means.sources.values():
            group.create_task(_lead(settings, means, source.name))
        database = needed(settings.control.worker_database, "control.worker_database")
        group.create_task(lead(database, LOCK, lambda: Sweep(ending).run(_SWEEPS * worker.sweep_s)))
        group.create_task(lead(database, agree.LOCK, agree.Agreements(keys.exchange).run))
        group.create_task(lead(database, KEYS, lambda: KeySweep(keys).run(_SWEEPS * worker.sweep_s)))
        watch = Watch(regions=means.regions, telling=_telling(means, registry), clock=means.clock)
        group.create_task(lead(database, LINKS, watch.run))
        checkpoints = Checkpoints(means.regions)
        group.create_task(lead(database, CHECKPOINTS, lambda: checkpoints.run(worker.checkpoint_every_s)))
        log.info("worker.ready", sources=sorted(means.sources), regions=list(means.region_set))
        ready(registry.broken)


def _telling(means: Means, registry: Registry) -> Telling:
    declarations = {name: plugin.declaration for name, plugin in registry.key_stores.items()}
    return Telling(declarations=declarations, public_url=means.public_url, operator=means.operator)


def _handlers(means: Means, sagas: runner.Runner, pins: Pins) -> dict[str, outbox.Handler]:
    return {
        begin.TOPIC: begin.Begin(sagas),
        changed.TOPIC: changed.Changed(
            regions=means.regions,
            identity=means.identity,
            clock=means.clock,
            public_url=means.public_url,
            operator=means.operator,
            pins=pins,
            sources=means.sources,
        ),
        remarked.TOPIC: remarked.Remarked(clock=means.clock, public_url=means.public_url),
        reported.TOPIC: reported.Reported(
            clock=means.clock, public_url=means.public_url, sources=means.sources
        ),
        notices_put.TOPIC: deliverer(means.notifiers),
    }


async def _lead(settings: Settings, means: Means, name: str) -> None:
    database = needed(settings.control.worker_database, "control.worker_database")
    source = means.sources[name]
    await lead(
        database,
        f"source:{name}",
        lambda: follow(source, clock=means.clock, grace_s=settings.tenants.grace_s),
    )
