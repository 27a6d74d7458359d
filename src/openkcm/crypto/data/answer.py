"""One request, authorised and answered: the same function behind both doors, whoever read it from the wire.

``admit`` decides by the head alone, before a byte of the body is read. ``answer`` gives the reply at once where all
keys are in memory, and otherwise something to wait for.
"""

from __future__ import annotations

from collections.abc import Awaitable
from hmac import compare_digest
from typing import Final

import msgspec

from openkcm.crypto.data.batch import BatchRun
from openkcm.crypto.data.counted import Operations
from openkcm.crypto.data.limits import Limits
from openkcm.crypto.data.media import JSON, OCTETS, WrongMedia, is_octets
from openkcm.crypto.data.read import MAX_OCTETS_BYTES, bad_header, not_permitted, read_header
from openkcm.crypto.data.routes import Head, Route
from openkcm.crypto.data.wire import Decrypted, Encrypted
from openkcm.crypto.here import Here
from openkcm.crypto.tokens import Grant, TokenMaker, invalid
from openkcm.crypto.use import Act, at_once, use
from openkcm.crypto.uses import UNKNOWN_KEY, Use
from openkcm.crypto.view import View
from openkcm.kernel.log import get_logger
from openkcm.sdk.refusals import Permanent, Refusal, Refused, Remedy
from openkcm.serving.problem import internal, problem

log = get_logger(__name__)

_PROBLEM: Final = b"application/problem+json"
_PAGE: Final = "reference/crypto-service#limits"
_WORTH_BYTES: Final = 64 * 1024
"""A body that is worth looking at the limits before it is read; all are looked at afterwards."""
_encode: Final = msgspec.json.Encoder().encode


class Call(msgspec.Struct, frozen=True, gc=False):
    """A request whose head is good. ``octets``: in and out, with ``aad`` beside them."""

    route: Route
    token: bytes
    grant: Grant
    octets: bool
    aad: bytes | None


class Reply(msgspec.Struct, frozen=True, gc=False):
    """An answer. ``more`` are headers besides the body's own; nothing of it is to be stored by anybody."""

    status: int
    media: bytes
    body: bytes
    more: dict[str, str] | None


class Answers:
    """Answers for one process. ``operations`` counts what became of every item."""

    def __init__(self, here: Here, tokens: TokenMaker, limits: Limits, operations: Operations) -> None:
        self.here = here
        self._tokens = tokens
        self._limits = limits
        self._operations = operations
        self._clock = here.clock

    def admit(self, route: Route, head: Head, leaf: str) -> Call | Reply:
        """The request may send its body, or what is said instead.

        ``leaf`` is the hex SHA-256 of the connection's client certificate, empty where it has none.
        """
        try:
            given = head.authorization
            if given is None or given[:7] != b"Bearer ":
                raise invalid()
            token = given[7:]
            grant = self._tokens.read(token, now_s=self._clock.time_s())
            if grant.leaf and not compare_digest(grant.leaf, leaf):
                raise invalid()
        except Refused as refused:  # nobody knows who that is: it is counted, and written down nowhere
            self._operations.outcomes[route.kind.name, refused.refusal.value] += 1
            return told(refused)
        plain = head.media is None or head.media == JSON
        if plain and head.aad is None and head.length <= _WORTH_BYTES and head.length <= route.max_body_bytes:
            return Call(route, token, grant, octets=False, aad=None)
        try:
            octets = not plain and is_octets(route, head.media or b"")
            self._check_length(route, grant, head.length, octets=octets)
            if head.aad is not None and not octets:
                raise bad_header()
            aad = read_header(head.aad or b"") if octets else None
            return Call(route, token, grant, octets=octets, aad=aad)
        except WrongMedia as wrong:
            return self._refused(route, grant, wrong.refused, status=415)
        except Refused as refused:
            return self._refused(route, grant, refused)

    def holds(self, call: Call) -> bool:
        """Whether the token of a call that was admitted before, over the same connection, is still good."""
        try:
            self._tokens.read(call.token, now_s=self._clock.time_s())
        except Refused:
            return False
        return True

    def _check_length(self, route: Route, grant: Grant, length: int, *, octets: bool) -> None:
        longest = MAX_OCTETS_BYTES if octets else route.max_body_bytes
        if length > longest:
            raise _too_long(longest)
        if length > _WORTH_BYTES:
            self._limits.check(grant.tenant, self._clock.monotonic())

    def answer(self, call: Call, body: bytes) -> Reply | Awaitable[Reply]:
        """The reply, or something to wait for that gives it. Never raises; every item is noted exactly once."""
        began = self._clock.monotonic()
        route, grant = call.route, call.grant
        act: Act[object] | None = None
        items = 1
        try:
            if route.batch:
                acts = route.kind.many(body)
                items = len(acts)
                self._limits.take(grant.tenant, items, len(body), began)
                return self._many(call, acts, began)
            act = (
                route.kind.one(body, grant)
                if call.aad is None or route.kind.octets is None
                else route.kind.octets(body, call.aad)
            )
            self._limits.take(grant.tenant, 1, len(body), began)
            view = self.allow(call, act, began)
            done = at_once(self.here, view, grant.service, act, began)
        except Refused as refused:
            return self._refused(route, grant, refused, act=act, items=items)
        except Exception as failed:  # noqa: BLE001 - whatever it is, the caller gets an answer and the log gets it
            return self._failed(route, grant, failed, act)
        if done is None:
            return self._wait(call, view, act, began)
        return self._done(call, act, done, began)

    def allow(self, call: Call, act: Act[object], now: float | None = None) -> View:
        """The tenant's view: the token is for this, and the state still names its caller for it.

        Raises:
            Permanent: NOT_PERMITTED, CALLER_UNKNOWN; as ``AppliedState.view``.
            Temporary: as ``AppliedState.view``.
        """
        grant, route = call.grant, call.route
        by_item = route.batch and route.kind.by_item
        if not by_item and not act.permitted(grant.verbs):
            raise not_permitted()
        view = self.here.state.view(grant.tenant, now)
        caller = view.callers.get(grant.caller)
        if (
            caller is None
            or caller.service != grant.service
            or caller.registered != grant.registered
            or not (by_item or act.permitted(caller.verbs))
        ):
            raise _caller_unknown(grant)
        return view

    @staticmethod
    def check_item(call: Call, view: View, act: Act[object]) -> None:
        """This very item is permitted, where the items of a batch may want different verbs.

        Raises:
            Permanent: NOT_PERMITTED, CALLER_UNKNOWN.
        """
        if not act.permitted(call.grant.verbs):
            raise not_permitted()
        if not act.permitted(view.callers[call.grant.caller].verbs):
            raise _caller_unknown(call.grant)

    def note(self, route: Route, grant: Grant, key_id: bytes, outcome: str, items: int = 1) -> None:
        """So many items came to this outcome: for the use audit and the metrics."""
        self._operations.outcomes[route.kind.name, outcome] += items
        made = _use(route, grant, key_id, outcome)
        if outcome == "done":
            self.here.uses.note(made, items)
            return
        at_s = self._clock.time_s()
        for _ in range(items):
            self.here.uses.refused(made, at_s)

    def _done(self, call: Call, act: Act[object], done: object, began: float) -> Reply:
        route = call.route
        self.here.uses.note(_use(route, call.grant, act.key_id, "done"))
        self._operations.took(route.kind.name, "single", self._clock.monotonic() - began)
        if not call.octets:
            return Reply(200, JSON, _encode(done), None)
        if isinstance(done, Encrypted):
            return Reply(200, OCTETS, done.message, None)
        return Reply(200, OCTETS, done.plaintext if isinstance(done, Decrypted) else b"", None)

    async def _wait(self, call: Call, view: View, act: Act[object], began: float) -> Reply:
        try:
            done = await use(self.here, view, call.grant.service, act)
        except Refused as refused:
            return self._refused(call.route, call.grant, refused, act=act)
        except Exception as failed:  # noqa: BLE001 - as in ``answer``
            return self._failed(call.route, call.grant, failed, act)
        return self._done(call, act, done, began)

    def _many(self, call: Call, acts: list[Act[object]], began: float) -> Reply | Awaitable[Reply]:
        first, service = acts[0], call.grant.service
        run = BatchRun(
            self.here,
            self.allow(call, first),
            service,
            acts,
            allow=lambda: self.allow(call, first),
            check_item=(lambda view, act: self.check_item(call, view, act))
            if call.route.kind.by_item
            else None,
        )
        if run.go_on() and not run.waiting:
            return self._told_all(call, run, began)
        return self._wait_for_all(call, run, began)

    async def _wait_for_all(self, call: Call, run: BatchRun, began: float) -> Reply:
        await run.finish()
        return self._told_all(call, run, began)

    def _told_all(self, call: Call, run: BatchRun, began: float) -> Reply:
        for (key_id, outcome), count in run.outcomes.items():
            self.note(call.route, call.grant, key_id, outcome, count)
        self._operations.took(call.route.kind.name, "batch", self._clock.monotonic() - began)
        return Reply(200, JSON, _encode(run.answer()), None)

    def _refused(
        self,
        route: Route,
        grant: Grant,
        refused: Refused,
        *,
        act: Act[object] | None = None,
        items: int = 1,
        status: int | None = None,
    ) -> Reply:
        key_id = UNKNOWN_KEY if act is None else act.key_id
        self.note(route, grant, key_id, refused.refusal.value, items)
        return told(refused, status=status)

    def _failed(self, route: Route, grant: Grant, failed: Exception, act: Act[object] | None) -> Reply:
        log.error("serving.failed", path=route.path, exc_info=failed)
        return self._refused(route, grant, internal(), act=act)


def _use(route: Route, grant: Grant, key_id: bytes, outcome: str) -> Use:
    # Made for every request: this leaves out a call in Python's own.
    return tuple.__new__(Use, (grant.tenant, grant.caller, grant.service, key_id, route.kind.name, outcome))


def told(refused: Refused, *, status: int | None = None) -> Reply:
    """The reply that tells of a refusal."""
    code, body, headers = problem(refused, status=status)
    del headers["Cache-Control"]  # every reply has it
    return Reply(code, _PROBLEM, body, headers)


def _too_long(longest: int) -> Permanent:
    return Permanent(
        Refusal.TOO_LARGE,
        f"The request's body is larger than this address takes: {longest} bytes.",
        remedy=Remedy("Send less at once.", "caller", _PAGE),
    )


def _caller_unknown(grant: Grant) -> Permanent:
    return Permanent(
        Refusal.CALLER_UNKNOWN,
        f"'{grant.caller}' is not registered for this use of service '{grant.service}' of tenant '{grant.tenant}'.",
        remedy=Remedy(
            "Register the caller for this service and verb.", "owner", "reference/crypto-service#refusals"
        ),
    )
