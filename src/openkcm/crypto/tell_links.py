"""What became of the ways to customers' root keys, as control hears it when it asks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from openkcm.crypto.contract import LinksItem, LinksTold, LinkTold
from openkcm.crypto.here import Here
from openkcm.crypto.windows import Verdict
from openkcm.sdk.refusals import Refused


async def tell_links(here: Here, items: Sequence[LinksItem]) -> list[LinksTold | Refused]:
    """Each way that changed since; all of them to whoever asks this run of the process for the first time."""
    return [_tell(here, item) for item in items]


def _tell(here: Here, item: LinksItem) -> LinksTold:
    news, watched = here.news, here.roots.watched
    whole = item.run != news.run or item.since > news.number
    if whole:
        news.keep(frozenset(watched))
    key_ids = list(watched) if whole else [key_id for key_id in news.since(item.since) if key_id in watched]
    links = tuple(_one(here, key_id) for key_id in key_ids)
    return LinksTold(run=news.run, number=news.number, whole=whole, links=links)


def _one(here: Here, key_id: bytes) -> LinkTold:
    view = here.roots.watched[key_id]
    link = here.roots.links.known(key_id)
    decision = here.roots.links.decision(key_id)
    verdict = decision.verdict
    if verdict is Verdict.SERVE and link is not None and link.seen and not _is_at_hand(here, key_id):
        verdict = (
            Verdict.WINDOW_OVER
        )  # time is left, and this process has nothing to serve with, as after a restart
    serves = verdict is Verdict.SERVE
    return LinkTold(
        tenant=view.tenant,
        key_id=key_id.hex(),
        connection=view.keys[key_id].connection,
        verdict=verdict.value,
        seen=tuple(sorted(outage.value for outage in link.seen)) if link else (),
        code=here.roots.codes.get(key_id, ""),
        proved_at=link.proved.wall if link else None,
        ends_at=here.clock.now() + timedelta(seconds=decision.left_s) if serves else None,
    )


def _is_at_hand(here: Here, key_id: bytes) -> bool:
    return key_id in here.roots.memory or here.roots.links.is_kept(key_id)
