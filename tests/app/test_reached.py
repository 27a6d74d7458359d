"""The pages behind a proxy: cookies of a TLS site, each person's own limit, and no other site's name."""

from __future__ import annotations

import pytest
from litestar import Litestar

from openkcm.app import Parts, create_app
from openkcm.kernel.clock import SetClock
from openkcm.kernel.notify import Listener
from openkcm.sdk.refusals import Permanent, Refusal
from openkcm.settings import load_settings
from tests.app.browser import Browser
from tests.app.conftest import OTHER, TENANT, MemoryRegions, parts_of

pytestmark = pytest.mark.integration
PROXIES = ("10.0.0.0/8", "192.0.2.1", "::1")
NO_LINK = f"/t/{TENANT}/sign-in/{'x' * 43}"


@pytest.fixture
def parts(app: Litestar, regions: MemoryRegions, clock: SetClock) -> Parts:
    """With the database open as ``app`` has it."""
    assert app.routes
    return parts_of(Listener("unused", "unused"), regions, clock)


async def test_behind_a_tls_proxy_every_cookie_is_secure(parts: Parts, links: dict[str, str]) -> None:
    # The proxy speaks HTTP to us: the scheme of this connection says nothing.
    async with Browser(create_app(parts, tls=True)) as browser:
        answers = [await browser.get(links[TENANT])]
        form = next(one for one in answers[0].headers.get_list("set-cookie") if "openkcm-form" in one)
        assert form.startswith("__Host-openkcm-form=")
        jar = {"cookie": form.partition(";")[0]}
        answers.append(await browser.post(links[TENANT], **jar))
        data = {"csrf": browser.csrf, "theme": "dark"}
        answers.append(await browser.client.post("/theme", data=data, headers=jar))
        cookies = [one.lower() for answer in answers for one in answer.headers.get_list("set-cookie")]
        assert [one.partition("=")[0] for one in cookies] == [
            "__host-openkcm-form",
            "openkcm_session",
            "openkcm_account",
            "openkcm-theme",
        ]
        assert all("; secure" in one for one in cookies)


async def tries(app: Litestar, peer: str, forwarded: str | None) -> int:
    """How often somebody may try before it is too often."""
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    async with Browser(app, peer=peer) as browser:
        for count in range(40):
            if (await browser.get(NO_LINK, **headers)).status_code == 429:
                return count
    return 40


async def test_people_behind_a_proxy_have_a_limit_each(parts: Parts) -> None:
    app = create_app(parts, tls=True, proxies=PROXIES)
    assert await tries(app, "10.1.2.3", "203.0.113.7") == 30
    assert await tries(app, "10.9.9.9", "203.0.113.7, 192.0.2.1") == 0, "the same, by two proxies"
    assert await tries(app, "10.1.2.3", "203.0.113.8") == 30
    assert await tries(app, "10.1.2.3", "203.0.113.9:4711") == 30, "with a port"
    assert await tries(app, "::1", "[2001:db8::7]:4711") == 30


@pytest.mark.parametrize(
    ("peer", "forwarded"),
    [
        ("198.51.100.4", "203.0.113.7"),  # no proxy of ours
        ("10.1.2.3", "203.0.113.{n}, 198.51.100.4"),  # what stands before the last one is anybody's
        ("10.1.2.3", "203.0.113.{n}, unknown"),
        ("10.1.2.3", ""),
    ],
)
async def test_nobody_gets_more_tries_by_what_he_says_of_himself(
    parts: Parts, peer: str, forwarded: str
) -> None:
    app = create_app(parts, tls=True, proxies=PROXIES)
    async with Browser(app, peer=peer) as browser:
        for n in range(30):
            answer = await browser.get(NO_LINK, **{"x-forwarded-for": forwarded.format(n=n)})
            assert answer.status_code == 410
        answer = await browser.get(NO_LINK, **{"x-forwarded-for": forwarded.format(n=99)})
        assert answer.status_code == 429


async def test_without_the_setting_no_header_is_believed(parts: Parts) -> None:
    app = create_app(parts, tls=True)
    assert await tries(app, "10.1.2.3", "203.0.113.7") == 30
    assert await tries(app, "10.1.2.3", "203.0.113.8") == 0


@pytest.mark.parametrize("value", ["proxy.example", "10.0.0.1/8", "10.0.0.0/8,none"])
def test_a_proxy_that_is_no_address_is_named_at_the_start(value: str) -> None:
    with pytest.raises(Permanent, match="trusted_proxies") as refused:
        load_settings(environ={"OPENKCM_WEB__TRUSTED_PROXIES": value})
    assert refused.value.refusal is Refusal.SETTING_INVALID
    good = load_settings(environ={"OPENKCM_WEB__TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.1"})
    assert good.web.trusted_proxies == ("10.0.0.0/8", "192.0.2.1")


@pytest.mark.parametrize(
    ("public_url", "host", "taken"),
    [
        ("https://keys.example", "keys.example", True),
        ("https://keys.example", "KEYS.example.:443", True),
        ("https://keys.example:8443", "keys.example:8443", True),
        ("https://keys.example", "evil.example", False),
        ("https://keys.example", "keys.example.evil.example", False),
        ("https://keys.example", "keys.example@evil.example", False),
        ("https://keys.example", "127.0.0.1:8080", False),
        ("https://keys.example", "[", False),
        ("http://127.0.0.1:8080", "localhost:9000", True),
        ("http://127.0.0.1:8080", "[::1]:8080", True),
        ("http://localhost:8080", "127.0.0.1:8080", True),
        ("http://127.0.0.1:8080", "evil.example:8080", False),
        ("http://127.0.0.1:8080", "192.0.2.7:8080", False),
    ],
)
async def test_pages_are_served_under_their_own_name_alone(
    parts: Parts, links: dict[str, str], public_url: str, host: str, taken: bool
) -> None:
    async with Browser(create_app(parts, tls=False, public_url=public_url)) as browser:
        for path in ("/help", links[OTHER], f"/t/{OTHER}/alive"):
            answer = await browser.get(path, host=host, accept="application/json")
            refused = answer.status_code == 400
            assert refused is not taken
            if refused:
                assert answer.json()["code"] == Refusal.BAD_REQUEST
                assert public_url in answer.json()["action"]
        assert (await browser.post(links[OTHER], host=host)).status_code == (303 if taken else 400)
        for probe in ("/healthz", "/readyz", "/metrics"):
            assert (await browser.get(probe, host=host)).status_code != 400


async def test_a_request_of_two_hosts_is_refused(parts: Parts) -> None:
    async with Browser(create_app(parts, tls=False, public_url="https://keys.example")) as browser:
        twice = [("host", "keys.example"), ("host", "evil.example")]
        assert (await browser.client.get("/help", headers=twice)).status_code == 400
