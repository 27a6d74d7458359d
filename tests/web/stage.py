"""A small application that shows the scenes: the doors of the room `web`, its headers, its checks and its failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Final

from litestar import Litestar, Response, get, post
from litestar.params import FromPath
from litestar.response import Stream

from openkcm.provisioning.view import Outcome, ProvisioningPage, SetupState, StepLine
from openkcm.provisioning.web import parts_of
from openkcm.sdk.refusals import Permanent, Refusal, Remedy, Temporary
from openkcm.web import events, security
from openkcm.web.failures import failed
from openkcm.web.page import fragment, page, redirect
from openkcm.web.shell import Account, AnyRequest, Place, put_place
from openkcm.web.web import web_router
from tests.web.content import ACCOUNT, NOW, TOKEN, home, setup, waiting
from tests.web.scenes import SCENES, Scene
from tests.web.set_ups import SETUPS

AXE: Final = Path(__file__).parent / "vendor" / "axe-4.14.1.min.js"
CLOSING = asyncio.Event()
ONWARD = asyncio.Event()
MOVING: Final = Account(id="moving", name="Payments")
"""The account whose set-up goes on; the others stand still to be looked at."""
CANCELLED: Final = Account(id="cancelled", name="Payments")
"""The account whose set-up is cancelled, taken back and started again."""
WAY_BACK: Final = ("setup-running", "setup-undoing", "setup-undone", "setup-first-second")


def enter(request: AnyRequest, scene: Scene) -> None:
    put_place(request, Place(account=scene.account, user=scene.user, ready=scene.ready))


@get("/scene/{name:str}")
async def scene(request: AnyRequest, name: FromPath[str]) -> Response[str]:
    shown = SCENES[name]
    enter(request, shown)
    return page(request, shown.template, shown.context, block=request.query_params.get("block"))


@get("/axe.js")
async def axe() -> Response[bytes]:
    return Response(AXE.read_bytes(), media_type="text/javascript")


@get("/t/{tenant:str}")
async def overview(request: AnyRequest, tenant: FromPath[str]) -> Response[str]:
    enter(request, SCENES["home"])
    return page(request, "dashboard/home.html", home(), block=request.query_params.get("block"))


@post("/t/{tenant:str}/token", status_code=200)
async def token(request: AnyRequest, tenant: FromPath[str]) -> Response[str]:
    enter(request, SCENES["home"])
    if tenant != ACCOUNT.id:
        raise Permanent(
            Refusal.TENANT_STATE,
            "The account is being deleted.",
            remedy=Remedy("Stop the deletion.", "The operator"),
        )
    return page(request, "dashboard/home.html", home(token=TOKEN), block="first_record")


def at_second(second: int) -> ProvisioningPage:
    """A set-up of three seconds, as its page sees it."""
    names = ("admit", "assign", "mint", "activate", "grant", "publish", "announce", "notify")
    if second >= 3:
        done = tuple(StepLine(name=name, outcome=Outcome.DONE, took_s=0.4) for name in names)
        return setup(account=MOVING, state=SetupState.READY, steps=done, elapsed_s=3)
    passed = tuple(StepLine(name=name, outcome=Outcome.DONE, took_s=0.4) for name in names[: 3 * second])
    running = StepLine(name=names[3 * second], outcome=Outcome.RUNNING, took_s=0.2)
    rest = waiting(*names[3 * second + 1 :])
    protected_at = NOW if second > 1 else None
    return setup(account=MOVING, steps=(*passed, running, *rest), elapsed_s=second, protected_at=protected_at)


@get("/t/{tenant:str}/setup")
async def set_up(request: AnyRequest, tenant: FromPath[str]) -> Response[str]:
    enter(request, SCENES["setup-running"])
    shown = replace(SETUPS[WAY_BACK[0]], account=CANCELLED) if tenant == CANCELLED.id else at_second(0)
    return page(request, "provisioning/page.html", shown)


@get("/t/{tenant:str}/setup/events")
async def set_up_events(request: AnyRequest, tenant: FromPath[str]) -> Stream:
    enter(request, SCENES["setup-running"])

    async def told() -> AsyncGenerator[events.Event, None]:
        if tenant == CANCELLED.id:
            for name in WAY_BACK[1:]:
                await ONWARD.wait()
                ONWARD.clear()
                for block, text in parts_of(request, replace(SETUPS[name], account=CANCELLED)).items():
                    yield events.Event(block, text)
        if tenant != MOVING.id:
            await CLOSING.wait()
            return
        for second in range(1, 4):
            await asyncio.sleep(0.5)
            for block, text in parts_of(request, at_second(second)).items():
                yield events.Event(block, text)
        yield events.Event("end", fragment(request, "provisioning/page.html", at_second(3), "end"))

    return events.stream(told(), closing=CLOSING)


def _still() -> Stream:
    async def told() -> AsyncGenerator[events.Event, None]:
        await CLOSING.wait()
        yield events.Event("end", "")

    return events.stream(told(), closing=CLOSING)


@get("/t/{tenant:str}/key-changes/{name:str}/events")
async def key_events(tenant: FromPath[str], name: FromPath[str]) -> Stream:
    """A report that stands still to be looked at."""
    del tenant, name
    return _still()


@get("/t/{tenant:str}/root-key/events")
async def root_events(tenant: FromPath[str]) -> Stream:
    """A page that stands still to be looked at."""
    del tenant
    return _still()


@get(["/t/{tenant:str}/keys", "/t/{tenant:str}/keys/{service:str}"])
async def keys(request: AnyRequest, tenant: FromPath[str]) -> Response[str]:
    """The keys while one of them is rotated."""
    del tenant
    shown = SCENES["keys-rotating"]
    enter(request, shown)
    return page(request, shown.template, shown.context, block=request.query_params.get("block"))


@get("/onward")
async def onward() -> None:
    """The cancelled set-up goes on to its next state."""
    ONWARD.set()


@get("/t/{tenant:str}/setup/done")
async def set_up_done(request: AnyRequest, tenant: FromPath[str]) -> Response[str]:
    return redirect(request, f"/t/{tenant}")


@get("/breaks")
async def breaks() -> None:
    message = "SECRET-IN-A-TRACE"
    raise RuntimeError(message)


@get("/refuses")
async def refuses(request: AnyRequest) -> None:
    enter(request, SCENES["home"])
    raise Temporary(
        Refusal.REGION_UNAVAILABLE,
        "The region <Stockholm> does not answer.",
        remedy=Remedy("Wait.", "You"),
        retry_after_s=7,
    )


@post("/changes", status_code=200)
async def changes() -> str:
    return "changed"


@post("/by-token", status_code=200, opt={security.NO_FORM_CHECK: True})
async def by_token() -> str:
    return "changed"


def staged(*, tls: bool = False) -> Litestar:
    """The application, new each time."""
    return Litestar(
        route_handlers=[
            scene,
            axe,
            overview,
            token,
            set_up,
            set_up_events,
            set_up_done,
            key_events,
            root_events,
            keys,
            onward,
            breaks,
            refuses,
            changes,
            by_token,
            web_router(),
        ],
        guards=[security.form_check],
        before_send=[security.safe_headers(tls=tls)],
        exception_handlers={Exception: failed},
        openapi_config=None,
        logging_config=None,
    )
