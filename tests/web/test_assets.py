"""Static files are what their names say, and an address never changes its content."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

import pytest

from openkcm.web import assets
from openkcm.web.key_shape import key_shape
from openkcm.web.templates import folder
from tests.web.stage import AXE

# From the registry's packages htmx.org 2.0.11, htmx-ext-sse 2.2.4 and axe-core 4.14.1.
VENDORED = {
    "htmx-2.0.11.min.js": "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717",
    "htmx-ext-sse-2.2.4.min.js": "98a46496de0c3605fbffdce9167ba427bdd9553184f83f149c261891a92c0136",
}
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"


@pytest.mark.parametrize("name", VENDORED)
def test_a_vendored_file_is_unchanged_and_has_its_licence(name: str) -> None:
    files = assets.assets()
    assert hashlib.sha256(files[name].content).hexdigest() == VENDORED[name]
    licence = re.sub(r"-\d.*", ".LICENSE.txt", name)
    assert b"Permission to use, copy, modify" in files[licence].content


def test_the_checker_of_the_browser_tests_is_unchanged() -> None:
    assert hashlib.sha256(AXE.read_bytes()).hexdigest() == AXE_SHA256


def test_an_address_holds_the_hash_of_its_content() -> None:
    for asset in assets.assets().values():
        assert asset.address == f"/static/{hashlib.sha256(asset.content).hexdigest()[:16]}/{asset.name}"
        assert gzip.decompress(asset.compressed) == asset.content


def test_every_icon_that_is_named_is_drawn_and_every_drawn_one_is_named() -> None:
    drawn = set(re.findall(r'<symbol id="([a-z]+)"', assets.assets()["icons.svg"].content.decode()))
    templates = "".join(path.read_text() for path in folder().rglob("*.html"))
    named = {name for name in drawn if f"'{name}'" in templates}
    assert drawn - named == set()
    used = set(re.findall(r"icon\('([a-z]+)'", templates)) | set(
        re.findall(r"pill\('[a-z]+', '([a-z]+)'", templates)
    )
    assert used <= drawn


def test_every_class_that_is_styled_is_used() -> None:
    css = re.sub(r"/\*.*?\*/", "", assets.assets()["openkcm.css"].content.decode())
    styled = set(re.findall(r"\.([a-z][a-z-]*)", re.sub(r"\d\.\d|[\d.]+\w*(?=[ ;,)])", "", css)))
    everywhere = "".join(path.read_text() for path in folder().rglob("*.html"))
    everywhere += assets.assets()["openkcm.js"].content.decode()
    everywhere += " htmx-request"  # HTMX's own, while it waits
    assert {name for name in styled if not re.search(rf"\b{name}\b", everywhere)} == set()


def test_the_pages_ask_no_other_host() -> None:
    for path in Path(folder()).rglob("*.html"):
        assert not re.findall(r'(?:src|href|action)="https?:', path.read_text()), path


def test_ids_that_differ_get_shapes_that_differ() -> None:
    shapes = {key_shape(f"tk-{number:04x}") for number in range(200)}
    assert len(shapes) > 190
    assert all(re.fullmatch(r"[MLHVhvmlaAz0-9 .\-]+", shape) for shape in shapes)
