"""A form is believed only from our own pages; an error is words and a way on, never a trace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import RequestFactory, TestClient

from openkcm.sdk.refusals import Permanent, Refusal, Temporary
from openkcm.web import security
from openkcm.web.failures import ErrorPage, error_page
from tests.web.stage import staged

Client: TypeAlias = TestClient[Litestar]
HTML = {"accept": "text/html,application/xhtml+xml"}
HTMX = {"hx-request": "true"}


@pytest.fixture
def client() -> Iterator[Client]:
    with TestClient(staged(), raise_server_exceptions=False) as made:
        made.follow_redirects = False
        yield made


def token(client: Client) -> str:
    client.get("/help")
    return client.cookies[security.CSRF_COOKIE]


def test_a_form_of_our_page_is_taken(client: Client) -> None:
    assert client.post("/changes", data={"csrf": token(client)}).text == "changed"


def test_htmx_sends_the_token_in_a_header(client: Client) -> None:
    assert client.post("/changes", headers={"x-csrf-token": token(client)}).text == "changed"


def test_the_token_stays_the_same_for_a_browser(client: Client) -> None:
    first = token(client)
    assert token(client) == first
    assert "set-cookie" not in client.get("/help").headers
    assert f'name="csrf" value="{first}"' in client.get("/help").text


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({}, {}),
        ({"csrf": "x" * 43}, {}),
        ({"csrf": ""}, {"x-csrf-token": ""}),
        ({}, {"x-csrf-token": "\u00e9" * 43}),
    ],
)
def test_a_form_without_the_right_token_changes_nothing(
    client: Client, fields: dict[str, str], headers: dict[str, str]
) -> None:
    token(client)
    sent = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    answer = client.post("/changes", data=fields, headers=sent)
    assert answer.status_code == 403
    assert answer.json()["code"] == Refusal.FORM_EXPIRED


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://elsewhere.example"},
        {"origin": "null"},
    ],
)
def test_a_form_from_another_origin_is_refused_even_with_the_token(
    client: Client, headers: dict[str, str]
) -> None:
    assert client.post("/changes", data={"csrf": token(client)}, headers=headers).status_code == 403


@pytest.mark.parametrize(
    "headers", [{"sec-fetch-site": "same-origin"}, {"origin": "http://testserver.local"}]
)
def test_a_browser_that_names_our_origin_is_believed(client: Client, headers: dict[str, str]) -> None:
    assert client.post("/changes", data={"csrf": token(client)}, headers=headers).status_code == 200


def test_a_planted_cookie_of_another_form_is_replaced(client: Client) -> None:
    client.cookies.set(security.CSRF_COOKIE, "a")
    assert client.post("/changes", data={"csrf": "a"}).status_code == 403
    assert security.CSRF_COOKIE in client.get("/help").headers["set-cookie"]


def test_what_no_cookie_opens_needs_no_form(client: Client) -> None:
    assert client.post("/by-token").text == "changed"


def test_a_refused_form_can_be_repeated_from_the_page(client: Client) -> None:
    assert client.post("/changes", data={"csrf": "old"}).status_code == 403
    assert client.post("/changes", data={"csrf": token(client)}).status_code == 200


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/nowhere", 404, "There is nothing at this address"),
        ("/breaks", 500, "Something broke on our side"),
        ("/refuses", 503, "OpenKCM cannot answer right now"),
    ],
)
def test_an_error_is_a_page_with_what_to_do(client: Client, path: str, status: int, words: str) -> None:
    answer = client.get(path, headers=HTML)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert words in answer.text
    assert "What to do." in answer.text
    assert f"<code>{answer.headers['x-request-id']}</code>" in answer.text


@pytest.mark.parametrize("headers", [HTML, HTMX, {"accept": "application/json"}])
def test_no_trace_and_no_message_of_ours_reaches_the_asker(client: Client, headers: dict[str, str]) -> None:
    answer = client.get("/breaks", headers=headers)
    assert answer.status_code == 500
    for leak in ("SECRET-IN-A-TRACE", "Traceback", "RuntimeError", "stage.py"):
        assert leak not in answer.text


def test_htmx_gets_the_error_in_its_own_place(client: Client) -> None:
    answer = client.get("/refuses", headers=HTMX)
    assert "<html" not in answer.text
    assert answer.headers["hx-retarget"] == "#failure"
    assert answer.headers["vary"] == "HX-Request"
    assert "The region &lt;Stockholm&gt; does not answer." in answer.text


def test_a_program_gets_a_problem_with_a_stable_code(client: Client) -> None:
    answer = client.get("/refuses", headers={"accept": "application/json"})
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.headers["retry-after"] == "7"
    assert answer.json() == {
        "type": "urn:openkcm:problem:region-unavailable",
        "title": "OpenKCM cannot answer right now",
        "status": 503,
        "detail": "The region <Stockholm> does not answer.",
        "code": "region-unavailable",
        "action": "Wait.",
        "who": "You",
        "retry_after_s": 7.0,
    }


def test_an_error_page_keeps_the_frame_of_its_account(client: Client) -> None:
    assert "Fjordline" in client.get("/refuses", headers=HTML).text
    assert "Fjordline" not in client.get("/nowhere", headers=HTML).text


def test_a_wrong_method_is_no_error_of_ours(client: Client) -> None:
    answer = client.delete("/help", headers={"accept": "application/json"})
    assert answer.status_code == 405
    assert answer.json()["code"] == Refusal.BAD_REQUEST


def test_an_error_page_holds_all_that_a_problem_holds() -> None:
    assert {"code", "remedy", "why", "reference"} <= set(ErrorPage.__dataclass_fields__)
    assert msgspec.json.encode(Refusal.INTERNAL) == b'"internal"'


@pytest.mark.parametrize("refusal", Refusal)
def test_every_refusal_has_a_status_and_words(refusal: Refusal) -> None:
    request = RequestFactory().get("/")
    for kind, unlisted in ((Temporary, 503), (Permanent, 422)):
        shown = error_page(request, kind(refusal, "Because."))
        assert shown.status in {400, 401, 403, 404, 409, 410, 413, 429, 500, 503, unlisted}
        assert shown.why == "Because."
        assert shown.title
        assert shown.remedy.action
        assert shown.remedy.who
