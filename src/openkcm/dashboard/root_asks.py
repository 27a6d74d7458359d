"""The questions before a relink and before a connection is removed, and what follows from each. No I/O."""

from __future__ import annotations

from typing import Final

from openkcm.activation.means import Deciding
from openkcm.crypto.contract import Choice, DesiredPolicy, worst_case
from openkcm.dashboard.key_follows import Consequence
from openkcm.dashboard.keys import KeysPage
from openkcm.dashboard.keys_view import AskPage
from openkcm.dashboard.root_key import account_off, disconnect_off, in_force, relink_off
from openkcm.keychain.states import KeyVerb
from openkcm.keystores.carried import default_policy
from openkcm.keystores.view import ConnectionLine, KeyStoresPage
from openkcm.sdk.refusals import Permanent, Refusal, Remedy
from openkcm.web.figures import at_most, duration, joined
from openkcm.web.shell import Account

DISCONNECT: Final = "disconnect"
CHECK: Final = "check"
_STAY: Final = "Keep everything as it is"
_PLATFORM: Final = "the platform’s root keys"


def connection_of(found: KeyStoresPage, connection: str) -> ConnectionLine:
    """That connection. Raises ``Permanent`` (NOT_FOUND)."""
    line = next((each for each in found.connections if each.id == connection), None)
    if line is None:
        raise Permanent(
            Refusal.NOT_FOUND,
            "This account has no such connection.",
            remedy=Remedy("Compare it with the page of the root key.", "You"),
        )
    return line


def relink_page(
    account: Account,
    found: KeyStoresPage,
    keys: KeysPage,
    connection: str,
    deciding: Deciding,
    *,
    request: str,
) -> AskPage:
    """The question before all keys are put under that connection's root key, or (empty) back under the platform's.

    Raises:
        Permanent: NOT_FOUND; the account has no such connection.
    """
    line = connection_of(found, connection) if connection else None
    back = f"Put all keys of {account.name} back under {_PLATFORM}?"
    return AskPage(
        account=account,
        service="",
        verb=KeyVerb.RELINK.value,
        version=None,
        title=f"Put all keys of {account.name} under {line.title}?" if line else back,
        lead="A new tenant key is made, which that root key wraps. No data is touched.",
        button="Use this root key" if line else "Go back to the platform’s",
        stay=_STAY,
        consequences=relink_follows(found, keys, line, wait_s=deciding.key_wait_s),
        request=request,
        phrase=account.name,
        why_not=relink_off(found, keys, deciding, connection),
        unsafe=deciding.without_step_up,
        connection=connection,
    )


def disconnect_page(
    account: Account, found: KeyStoresPage, keys: KeysPage, connection: str, *, request: str
) -> AskPage:
    """The question before a connection is removed. Raises ``Permanent`` (NOT_FOUND)."""
    line = connection_of(found, connection)
    secrets = sorted({name for each in line.versions for name in each.secrets})
    sealed = (
        f"Its sealed secrets ({joined(tuple(secrets))}) are deleted here."
        if secrets
        else "It has no secrets."
    )
    return AskPage(
        account=account,
        service="",
        verb=DISCONNECT,
        version=None,
        title=f"Disconnect {line.title}?",
        lead="OpenKCM forgets how this root key is reached."
        + ("" if line.used_by else " No key of yours is under it."),
        button="Disconnect",
        stay=_STAY,
        consequences=(
            Consequence(
                tone="ok",
                icon="ok",
                title="Applications notice nothing",
                text="The root key wraps no tenant key that is still there.",
            ),
            Consequence(
                tone="warn",
                icon="gone",
                title="The connection is removed, with all its versions and findings",
                text=sealed,
                soon="at once",
            ),
            Consequence(
                tone="off",
                icon="key",
                title="The root key itself stays as it is",
                text="Take away there what you let OpenKCM do with it.",
            ),
            Consequence(
                tone="off",
                icon="undo",
                title="It can be connected again",
                text="With the same answers, and its secrets entered anew.",
            ),
        ),
        request=request,
        why_not=account_off(keys) or disconnect_off(line),
        connection=connection,
    )


def relink_follows(
    found: KeyStoresPage, keys: KeysPage, line: ConnectionLine | None, *, wait_s: float
) -> tuple[Consequence, ...]:
    """What follows for applications, for who decides, when the root key is lost or silent, and how to go back."""
    root, _ = in_force(found)
    before = root.title or _PLATFORM
    places = joined(found.regions) or "every region"
    services = joined(tuple(each.service for each in keys.keys if each.service)) or "none yet"
    rows = [
        Consequence(
            tone="ok",
            icon="ok",
            title="Applications notice nothing",
            text=f"No service key changes and no data is touched. Services: {services}.",
        ),
        Consequence(
            tone="run",
            icon="key",
            title="Every service key is wrapped anew",
            text=f"By a new tenant key under {line.title if line else _PLATFORM}, in {places}.",
            soon="a few seconds",
        ),
        *(_own(line, _policy(found, line)) if line else _platform(before)),
    ]
    if root.alarm is not None:
        rows.append(
            Consequence(
                tone="warn",
                icon="lease",
                title=f"{before} does not answer as it should",
                text="The change can need it once more, for the tenant key that it wraps. Then it is tried again by "
                "itself, or taken back with the reason; what works meanwhile goes on.",
            )
        )
    return (
        *rows,
        Consequence(
            tone="warn",
            icon="gone",
            title="The old tenant key goes by itself",
            text=f"It is destroyed after {duration(wait_s)}, unless anything uses it meanwhile."
            + (f" Until then {before} is needed for it: leave it as it is." if root.connection else ""),
        ),
        Consequence(
            tone="off",
            icon="undo",
            title="You can relink at any time",
            text=f"Back to {before}, or to another root key.",
        ),
    )


def _policy(found: KeyStoresPage, line: ConnectionLine) -> DesiredPolicy:
    """What holds for an outage once the keys are under that root key: a default follows the keys that are needed."""
    if found.outage.set_by:
        return found.outage.policy
    return default_policy({line.kind, *(each.kind for each in found.connections if each.used_by)})


def _own(line: ConnectionLine, policy: DesiredPolicy) -> tuple[Consequence, ...]:
    worst = worst_case(policy.policy())
    window = at_most(worst.outage_s)
    silent = {
        Choice.LEASE: f"Everything goes on for up to {window}. In that time the platform’s operator could read your "
        "data without asking your key store.",
        Choice.MEMORY_ONLY: f"Everything goes on for up to {window}, from memory: a region’s process that restarts "
        "meanwhile stops. In that time the platform’s operator could read your data out of that memory.",
        Choice.FAIL_CLOSED: "Everything stops, within 25 s.",
    }[policy.choice]
    return (
        Consequence(
            tone="run",
            icon="shield",
            title="You decide from then on",
            text="Take away the right to use this root key and nothing works any more; give it back and everything "
            "works again.",
            soon=f"within {at_most(worst.store_connected_s)}",
        ),
        Consequence(
            tone="bad",
            icon="bad",
            title="If this root key is lost, your data is lost",
            text=f"The platform has no copy of it. Whoever deletes it in {line.title} ends all that it protects.",
        ),
        Consequence(tone="warn", icon="lease", title=f"While {line.title} does not answer", text=silent),
    )


def _platform(before: str) -> tuple[Consequence, ...]:
    return (
        Consequence(
            tone="warn",
            icon="platform",
            title="The platform decides from then on",
            text="It holds the root key, so that its operator could read your data without asking you. What you do to "
            f"{before} ends nothing any more; revoking here does.",
        ),
    )
