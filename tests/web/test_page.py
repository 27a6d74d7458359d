"""A page is whole or a part as htmx asks, and every answer carries what protects it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from openkcm.web import assets, security
from openkcm.web.web import own_path
from tests.web.stage import staged

Client: TypeAlias = TestClient[Litestar]
HTMX = {"hx-request": "true"}


@pytest.fixture
def client() -> Iterator[Client]:
    with TestClient(staged(), raise_server_exceptions=False) as made:
        made.follow_redirects = False
        yield made


@pytest.mark.parametrize(
    ("headers", "whole"),
    [
        ({}, True),
        (HTMX, False),
        (HTMX | {"hx-boosted": "true"}, True),
        (HTMX | {"hx-history-restore-request": "true"}, True),
        ({"hx-request": "false"}, True),
    ],
)
def test_only_htmx_itself_gets_a_part(client: Client, headers: dict[str, str], whole: bool) -> None:
    answer = client.get("/scene/setup-running?block=clock", headers=headers)
    assert ("<html" in answer.text) is whole
    assert 'id="provisioning-clock"' in answer.text
    assert answer.headers["vary"] == "HX-Request"


def test_htmx_gets_a_whole_page_where_there_is_no_part(client: Client) -> None:
    assert "<html" in client.get("/scene/home", headers=HTMX).text


@pytest.mark.parametrize("path", ["/scene/home", "/help", "/breaks", "/nowhere", "/refuses"])
def test_every_answer_has_the_headers_of_a_page(client: Client, path: str) -> None:
    headers = client.get(path, headers={"accept": "text/html"}).headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "strict-transport-security" not in headers
    assert len(headers["x-request-id"]) == 9


def test_over_tls_browsers_are_told_to_stay_there() -> None:
    with TestClient(staged(tls=True), base_url="https://keys.example") as client:
        answer = client.get("/help")
        assert answer.headers["strict-transport-security"].startswith("max-age=63072000")
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith(f"__Host-{security.CSRF_COOKIE}=")
        assert "Secure" in cookie
        assert "HttpOnly" in cookie


def test_what_is_kept_for_ever_has_its_hash_in_its_address(client: Client) -> None:
    address = assets.address("openkcm.css")
    answer = client.get(address)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert answer.content == assets.assets()["openkcm.css"].content
    plain = client.get(address, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == answer.content


def test_a_file_of_another_release_is_served_but_not_kept(client: Client) -> None:
    answer = client.get("/static/0000000000000000/openkcm.css")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", ["nothing.css", "..%2fpage.py", "__init__.py"])
def test_nothing_but_the_static_files_is_served(client: Client, name: str) -> None:
    assert client.get(f"/static/0000000000000000/{name}").status_code == 404


def form(client: Client, **fields: str) -> dict[str, str]:
    client.get("/help")
    return {"csrf": client.cookies[security.CSRF_COOKIE], **fields}


def test_the_theme_is_kept_and_the_browser_goes_back(client: Client) -> None:
    answer = client.post("/theme", data=form(client, theme="dark", back="/scene/home"))
    assert answer.status_code == 303
    assert answer.headers["location"] == "/scene/home"
    assert '<html lang="en" data-theme="dark">' in client.get("/scene/home").text
    client.post("/theme", data=form(client, theme="auto", back="/"))
    assert '<html lang="en">' in client.get("/scene/home").text


def test_a_theme_that_does_not_exist_is_refused_and_in_a_cookie_ignored(client: Client) -> None:
    assert client.post("/theme", data=form(client, theme='"><script>')).status_code == 400
    client.cookies.set("openkcm-theme", '"><script>')
    assert '<html lang="en">' in client.get("/help").text


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("/t/a?x=1", "/t/a?x=1"),
        ("https://elsewhere.example/", "/"),
        ("//elsewhere.example/", "/"),
        ("/\\elsewhere.example/", "/"),
        ("/\t/elsewhere.example", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
        (None, "/"),
    ],
)
def test_the_way_back_never_leads_elsewhere(given: str | None, path: str) -> None:
    assert own_path(given) == path


def test_htmx_is_redirected_by_its_own_header(client: Client) -> None:
    answer = client.get("/t/x/setup/done", headers=HTMX)
    assert (answer.status_code, answer.headers["hx-redirect"]) == (200, "/t/x")
    assert client.get("/t/x/setup/done").headers["location"] == "/t/x"


def test_the_navigation_leads_only_to_what_exists_and_marks_where_one_is(client: Client) -> None:
    page = client.get("/t/2k7f9q1xw4m8zt3c").text
    assert '<a href="/t/2k7f9q1xw4m8zt3c" aria-current="page">Overview</a>' in page
    assert "<nav" not in client.get("/scene/setup-running").text
    assert "<nav" not in client.get("/scene/sign-in").text
