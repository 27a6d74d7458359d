"""What the doors of keys and of root keys share: a form as it was sent, with the name of its request; who decides."""

from __future__ import annotations

import re
from typing import Any, Final, Protocol, TypeVar, cast

import msgspec

from openkcm.activation.means import Deciding
from openkcm.identity.guards import CLOCK
from openkcm.kernel.clock import Clock
from openkcm.sdk.refusals import Permanent, Refusal
from openkcm.web.shell import AnyRequest

DECIDING: Final = "deciding"
"""Under this name the application's state holds what decides about keys."""
ASK: Final = "dashboard/key_ask.html"
WHOLE: Final = "-"
"""How the account as a whole is called in an address, and the platform's root keys; no name or id begins so."""
#: What stays on the question's own page, with the reason in the place of the button.
SHOWN: Final = frozenset(
    {
        Refusal.KEY_STATE,
        Refusal.KEY_CHANGING,
        Refusal.TENANT_STATE,
        Refusal.STEP_UP_NEEDED,
        Refusal.CONNECTION_IN_USE,
        Refusal.CONNECTION_NOT_CHECKED,
        Refusal.CONNECTION_FAULTY,
    }
)
_REQUEST: Final = re.compile(r"page-[0-9a-f]{32}")


class Named(Protocol):
    """A form with the name of its request, so that the same form changes nothing twice."""

    @property
    def request(self) -> str:
        """The name."""


F = TypeVar("F", bound=Named)


async def sent(request: AnyRequest, form: type[F]) -> F:
    """The form's fields as they were sent. Raises ``Permanent`` (BAD_REQUEST), without the name of a request."""
    fields = await request.form()
    given = {name: value for name, value in fields.items() if isinstance(value, str)}
    made = msgspec.convert(given, form)
    if not _REQUEST.fullmatch(made.request):
        raise Permanent(Refusal.BAD_REQUEST, "The form did not say which request it is. Nothing was changed.")
    return made


def unwhole(part: str) -> str:
    """A service's name or a connection's id as an address has it; empty for the whole."""
    return "" if part == WHOLE else part


def clock_of(request: AnyRequest) -> Clock:
    """The application's clock."""
    return cast("Clock", cast("Any", request.app.state)[CLOCK])


def deciding_of(request: AnyRequest) -> Deciding:
    """What decides about keys."""
    return cast("Deciding", cast("Any", request.app.state)[DECIDING])
