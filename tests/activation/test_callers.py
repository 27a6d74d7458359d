"""Adding and removing a caller is one decision, which is in force in every region."""

from __future__ import annotations

import msgspec
import pytest

from openkcm.activation.change_callers import add_caller, remove
from openkcm.crypto.contract import CertificateTrust, Desired, DesiredCaller, Verb
from openkcm.identity.principal import Principal
from openkcm.keychain.asked import Answer, Asked, person
from openkcm.keychain.states import KeyVerb
from openkcm.sdk.refusals import Permanent, Refusal
from tests.activation.parts import Keys
from tests.control import rows
from tests.crypto.callers.pki import SPIFFE, Authority

pytestmark = pytest.mark.integration
ENCRYPT: tuple[Verb, ...] = ("encrypt",)
TRUST = CertificateTrust(authority=Authority().pem, name=SPIFFE)


def adding(keys: Keys, *, service: str = "default", request: str = "", **given: object) -> Asked:
    return keys.asked(KeyVerb.ADD_CALLER, service, caller="shop", request=request, **given)  # type: ignore[arg-type] # strings alone


async def add(keys: Keys, asked: Asked) -> Answer:
    answer = await add_caller(keys.deciding, asked, verbs=ENCRYPT, trust=TRUST)
    await keys.work()
    return answer


async def take_away(keys: Keys, *, request: str = "") -> Answer:
    asked = keys.asked(KeyVerb.REMOVE_CALLER, caller="shop", request=request)
    answer = await remove(keys.deciding, asked)
    await keys.work()
    return answer


def held(keys: Keys) -> list[DesiredCaller | None]:
    """What each region knows of the caller."""
    return [region.inside.here.state.view("acme").callers.get("shop") for region in (keys.local, keys.eu)]


async def test_a_caller_is_one_decision_that_every_region_applies(keys: Keys) -> None:
    answer = await add(keys, adding(keys))
    assert answer.changed
    wanted = DesiredCaller(
        name="shop", service="default", verbs=("encrypt",), trust=TRUST, registered=answer.generation
    )
    assert held(keys) == [wanted, wanted]
    gone = await take_away(keys)
    assert gone.generation == answer.generation + 1
    assert held(keys) == [None, None]


async def test_the_same_request_changes_nothing_more(keys: Keys) -> None:
    first = await add(keys, adding(keys, request="one"))
    again = await add(keys, adding(keys, request="one"))
    assert (again.generation, again.repeated) == (first.generation, True)
    other = await add(keys, adding(keys))
    assert (other.changed, other.generation) == (False, first.generation)
    with pytest.raises(Permanent) as refused:
        await take_away(keys, request="one")
    assert refused.value.refusal is Refusal.BAD_REQUEST
    assert len(await rows("select from audit_events where verb = 'services:caller:add'")) == 1


async def test_a_request_brings_nothing_back_that_was_removed_since(keys: Keys) -> None:
    await add(keys, adding(keys, request="one"))
    await take_away(keys)
    with pytest.raises(Permanent) as refused:
        await add(keys, adding(keys, request="one"))
    assert refused.value.refusal is Refusal.BAD_REQUEST
    assert held(keys) == [None, None]


async def test_another_registration_of_the_same_name_has_another_number(keys: Keys) -> None:
    first = await add(keys, adding(keys))
    await take_away(keys)
    second = await add(keys, adding(keys))
    assert second.generation > first.generation
    assert [caller.registered for caller in held(keys) if caller] == [second.generation] * 2


async def test_only_an_owner_adds_and_only_to_a_service_that_there_is(keys: Keys) -> None:
    for asked, refusal in (
        (adding(keys, service="none"), Refusal.KEY_STATE),
        (adding(keys, by=person(Principal("", "mallory@example.org"))), Refusal.NOT_PERMITTED),
    ):
        with pytest.raises(Permanent) as refused:
            await add(keys, asked)
        assert refused.value.refusal is refusal
    assert held(keys) == [None, None]


async def test_the_document_of_a_tenant_without_registered_callers_says_nothing_of_trust(keys: Keys) -> None:
    (row,) = await rows(
        "select convert_from(document, 'UTF8') as text from desired order by epoch desc, generation desc limit 1"
    )
    document = msgspec.json.decode(str(row["text"]), type=Desired)
    assert all((caller.trust, caller.registered) == (None, 0) for caller in document.callers)
