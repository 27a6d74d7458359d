"""Every page in every state is made of words that exist, says the state, and lets no markup through."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import ClassVar

import pytest
from jinja2 import UndefinedError

from openkcm.dashboard.key_live import LIVE_CHANGE
from openkcm.dashboard.root_live import LIVE_ROOT
from openkcm.provisioning.web import LIVE
from openkcm.web.shell import Link, Shell, Theme
from openkcm.web.templates import environment, folder, render
from tests.web.content import setup
from tests.web.scenes import SCENES, Scene

BLOCKS = {
    "provisioning/page.html": (*LIVE, "end"),
    "dashboard/home.html": ("alarm", "protection", "first_record", "regions"),
    "dashboard/keys.html": ("under_way",),
    "dashboard/key.html": ("under_way",),
    "dashboard/key_change.html": (*LIVE_CHANGE, "left"),
    "dashboard/root_key.html": (*LIVE_ROOT, "left"),
    "dashboard/outage.html": ("worst",),
    "error.html": ("failure",),
}
VOID = {"meta", "link", "input", "br", "img"}


def frame(scene: Scene) -> Shell:
    return Shell(
        account=scene.account,
        user=scene.user,
        theme=Theme.AUTO,
        release="1.0.0",
        request_id="7QK2-9F4D",
        csrf="c" * 43,
        back="/t/x",
        links=(Link(label="Overview", href="/t/x", current=True),) if scene.account and scene.ready else (),
    )


def drawn(name: str, block: str | None = None) -> str:
    scene = SCENES[name]
    return render(scene.template, {"page": scene.context, "shell": frame(scene)}, block=block)


class Outline(HTMLParser):
    """Checks nesting, and keeps ids, headings, buttons and inline code."""

    implied: ClassVar[set[str]] = VOID

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.headings: list[int] = []
        self.primary = 0
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self.primary += "primary" in (given.get("class") or "").split()
        self.inline += [key for key in given if key == "style" or (key.startswith("on") and key != "on")]
        self.inline += [tag] if tag == "style" or (tag == "script" and "src" not in given) else []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A closed SVG shape opens nothing."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"


def outline(text: str) -> Outline:
    seen = Outline()
    seen.feed(text)
    seen.close()
    assert seen.open == []
    return seen


@pytest.mark.parametrize("name", SCENES)
def test_a_page_is_well_formed_with_one_h1_and_at_most_one_primary_button(name: str) -> None:
    seen = outline(drawn(name))
    assert seen.headings.count(1) == 1
    assert seen.headings[0] == 1
    assert all(later - earlier <= 1 for earlier, later in zip(seen.headings, seen.headings[1:], strict=False))
    assert len(seen.ids) == len(set(seen.ids))
    assert seen.primary <= 1
    assert seen.inline == [], "the policy forbids what stands inline"


@pytest.mark.parametrize(
    ("name", "block"), [(n, b) for n, s in SCENES.items() for b in BLOCKS.get(s.template, ())]
)
def test_a_block_alone_is_a_part_of_its_page(name: str, block: str) -> None:
    part = drawn(name, block)
    outline(part)
    assert "<html" not in part
    if block not in (
        "end",
        "left",
        "failure",
    ):  # the first two come later, the last has a heading of its own level
        assert part in drawn(name)


@pytest.mark.parametrize("name", [name for name in SCENES if "hostile" in name or name == "error-401"])
def test_markup_in_names_is_shown_and_not_obeyed(name: str) -> None:
    page = drawn(name)
    for planted in (
        "<script>alert",
        "<img src=x",
        "<b>x@",
        "<h1>x",
        '"><script>',
        "<s>",
        "<k>",
        "<i>",
        "<u>",
        "<a>",
    ):
        assert planted not in page
    assert "&lt;" in page


def test_a_name_that_a_context_has_not_is_an_error() -> None:
    scene = SCENES["home"]
    with pytest.raises(UndefinedError):
        render("help.html", {"page": object(), "shell": frame(scene)})
    assert environment().undefined.__name__ == "StrictUndefined"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("setup-running", "From here on your keys can be used"),
        ("setup-running", 'Attempt 3<span class="narrow-only">, </span><br>next in 8\u00a0s'),
        ("setup-late", "Longer than usual. You and the operator have been told."),
        ("setup-over", "Over the limit; we go on trying. The operator has been told."),
        ("setup-over", "If it takes more than 1 min, the operator is told"),
        ("setup-over", 'Attempt 19<span class="narrow-only">, </span><br>trying now'),
        ("setup-uninstalled", "OpenKCM was uninstalled from this account or the account is being deleted"),
        ("setup-ready-nobody", 'aria-label="Left out"'),
        ("setup-ready-nobody", "No e\u2011mail to mara"),
        ("setup-undoing", "<title>Taking back: Payments"),
        ("setup-undoing", "Clearing the space for your keys"),
        ("setup-undoing", "1 taken back"),
        ("setup-undoing", "When that is done, with the reason."),
        ("setup-undone", 'aria-label="Not begun"'),
        ("setup-ready", '1.2\u00a0s <span class="muted">from found to ready'),
        ("setup-ready-mail-waits", "nothing waits for it"),
        ("setup-undone", "The operator cancelled the set-up at 14:03:40."),
        ("home", "(42\u00a0days)"),
        ("home", '<time datetime="2026-10-12T14:02:29Z">12\u00a0Oct\u00a02026, 14:02</time>'),
        ("home", "The tenant key under it is your account’s alone."),
        ("setup-running", "The tenant key under it is made for your account alone."),
        ("home-behind", "Stockholm keeps to decision 41 until it confirms 42"),
        ("home-mail-waits", "Mail not delivered yet."),
        ("home-owner-unknown", "openkcm tenants grant 2k7f9q1xw4m8zt3c --username NAME"),
        ("home-uninstalled", "24\u00a0Dec\u00a02026, 13:12</time> decrypting stops too"),
        ("home-deleting", "The keys are destroyed after"),
        ("root-silent", "21\u00a0h 14\u00a0min left"),
        ("root-mixed", "Stopped in part"),
        ("root-refused", "Your data is locked under"),
        ("root-cut-off", "It has not agreed with control for longer than you chose"),
        ("root-silent-memory", "Nothing is on a disk: it stops until the key answers"),
        ("root-own-older", "For older tenant keys that are not gone yet"),
        ("home-root-mixed", "Dublin goes on until"),
        ("keys-root-refused", "Your root key does not let your keys be used."),
        ("outage-closed", "No time"),
        ("ask-relink-closed", "Everything stops, within 25 s."),
        ("sign-in-used", "openkcm tenants sign-in 2k7f9q1xw4m8zt3c"),
        ("sign-in", "openkcm tenants sign-in TENANT-ID"),
    ],
)
def test_a_page_says_its_state_in_words(name: str, words: str) -> None:
    assert words in drawn(name)


def test_only_a_page_that_is_ready_opens_no_stream() -> None:
    for name in ("setup-running", "setup-undoing", "setup-failed", "setup-undone", "setup-undo-failed"):
        assert "sse-connect" in drawn(name), "somebody may start it again"
        assert "http-equiv" in drawn(name)
    assert "sse-connect" not in drawn("setup-ready")
    assert "http-equiv" not in drawn("setup-ready")


@pytest.mark.parametrize("name", ["setup-undoing", "setup-undoing-waits", "setup-undone"])
def test_what_is_taken_back_is_nowhere_said_to_be_set_up(name: str) -> None:
    page = drawn(name)
    for untrue in (
        "Setting up",
        "Everything here happens",
        "The overview opens",
        "Most accounts",
        "so far",
        "Limit:",
        "Waiting",
        "have been told",
        "Making the",
    ):
        assert untrue not in page.replace("Setting up was cancelled", "")


def test_every_part_that_says_how_far_it_is_changes_with_the_stream() -> None:
    page = drawn("setup-running")
    assert [block for block in LIVE if f'sse-swap="{block}"' not in page] == []


def test_nobody_is_said_to_have_been_told_who_was_not() -> None:
    late = setup(elapsed_s=400, told=(), tells=())
    text = render("provisioning/page.html", {"page": late, "shell": frame(SCENES["setup-late"])})
    assert "Over the limit; we go on trying.<" in text
    assert "told" not in text


def test_without_a_script_the_live_page_asks_again_by_itself() -> None:
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in drawn("setup-running")


def test_ticking_seconds_are_not_in_a_live_region() -> None:
    assert drawn("setup-running", "said") == render(
        "provisioning/page.html",
        {"page": setup(elapsed_s=39), "shell": frame(SCENES["setup-running"])},
        block="said",
    )
    assert 'role="status"' not in drawn("setup-running", "clock")


def test_every_template_is_used_by_a_scene_or_a_mail() -> None:
    pages = {scene.template for scene in SCENES.values()} | {
        "frame.html",
        "parts.html",
        "dashboard/key_parts.html",
        "dashboard/root_parts.html",
    }
    found = {path.relative_to(folder()).as_posix() for path in folder().rglob("*.html")}
    assert {name for name in found if not name.startswith("mail/")} == pages
