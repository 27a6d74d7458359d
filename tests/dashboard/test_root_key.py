"""What is said of a root key follows from what regions told, and what is to be done next from what is most urgent."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from openkcm.crypto.contract import Choice, DesiredPolicy
from openkcm.dashboard.key_asked import Wrong
from openkcm.dashboard.outage import Picked, policy_of, windows
from openkcm.dashboard.outage_view import reach
from openkcm.dashboard.outage_words import WAYS
from openkcm.dashboard.root_key import disconnect_off, next_of, not_usable
from openkcm.dashboard.root_state import alarm_of
from openkcm.web.figures import at_most
from tests.web.content import ACCOUNT, NOW
from tests.web.root_keys import REGIONS, check, connection, outage_page, root_page, told, used

EARLIER, SOON = NOW - timedelta(hours=5), NOW + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("conditions", "worst"),
    [
        (("fine", "no-answer", "doubtful"), "doubtful"),
        (("over", "no-answer", "doubtful"), "over"),
        (("over", "suspended", "fine"), "suspended"),
        (("no-answer", "fine", "fine"), "no-answer"),
    ],
)
def test_an_alarm_is_of_the_worst_that_any_region_tells(conditions: tuple[str, ...], worst: str) -> None:
    found = alarm_of([told(f"r{at}", condition) for at, condition in enumerate(conditions)])
    assert found is not None
    assert found.condition == worst


def test_no_region_in_trouble_is_no_alarm() -> None:
    assert alarm_of([]) is None
    assert alarm_of([told("north")]) is None


def test_an_alarm_names_where_it_stopped_where_it_goes_on_and_until_when_the_first_does() -> None:
    found = alarm_of(
        [
            told("a", "no-answer", since=NOW, ends_at=SOON + timedelta(hours=1)),
            told("b", "no-answer", since=EARLIER, ends_at=SOON),
            told("c", "no-answer", ends_at=None),
            told("d", "suspended", since=NOW),
            told("e"),
        ]
    )
    assert found is not None
    assert (found.stopped, found.waning, found.fine) == (("d",), ("a", "b", "c"), ("e",))
    assert (found.since, found.ends_at, found.everywhere) == (NOW, SOON, False)
    stopped = alarm_of([told("d", "suspended"), told("f", "over")])
    assert stopped is not None
    assert stopped.everywhere


def test_what_is_next_begins_with_what_is_the_matter() -> None:
    silent = root_page(used(*(told(name, "suspended") for name in REGIONS)), connection(2))
    assert (silent.next.check, silent.next.label) == (used().id, "Check again")
    assert "Enable the key in your key store." in silent.next.text
    waits = root_page(used(newest=2), connection(2))
    assert waits.next.check == used().id
    assert "count when every region finds them good" in waits.next.text
    ready = root_page(connection(), connection(2, checks=()))
    assert ready.next.to == f"/t/{ACCOUNT.id}/root-key/relink/{connection().id}"
    unchecked = root_page(connection(2, checks=(), usable=False))
    assert unchecked.next.check == connection(2).id
    assert root_page(used(), connection(2)).next.text == "Nothing for you to do."
    assert root_page().next.text == "Nothing for you to do."


def test_a_change_under_way_comes_before_what_is_only_good_to_have() -> None:
    ready = root_page(connection())
    following = next_of(ACCOUNT, ready.root, (), ready.cards, off="", change="page-1")
    assert following.to == f"/t/{ACCOUNT.id}/key-changes/page-1"
    off = next_of(ACCOUNT, ready.root, (), ready.cards, off="The account is gone.", change="page-1")
    assert (off.to, off.check) == ("", "")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"checking": True}, "It is being checked"),
        ({"checks": (check("Frankfurt"),)}, "not checked yet by Dublin and Stockholm"),
        ({"newest": 2}, "not checked yet by Frankfurt, Dublin and Stockholm"),
        (
            {"checks": (check("Frankfurt"), check("Dublin", good=False), check("Stockholm"))},
            "Found faulty by Dublin",
        ),
        (
            {"newest": 2, "checks": tuple(check(name, version=2) for name in REGIONS)},
            "Its newest version does not count yet",
        ),
    ],
)
def test_a_root_key_can_be_used_once_every_region_found_the_version_that_counts_good(
    changes: dict[str, object], why: str
) -> None:
    found = not_usable(msgspec.structs.replace(connection(), **changes), REGIONS)
    assert why in found
    assert bool(found) is bool(why)


def test_a_connection_can_go_when_no_key_needs_it() -> None:
    assert disconnect_off(connection()) == ""
    assert "tenant key version 1 and 2" in disconnect_off(connection(used_by=(1, 2)))
    assert "under way" in disconnect_off(connection(relinking=True))


def test_regions_that_found_the_same_are_told_together_with_the_newest_time() -> None:
    bad = check("Dublin", good=False)
    later = check("Stockholm", checked_at=NOW, number=9)
    (card,) = root_page(connection(checks=(check("Frankfurt"), bad, later))).cards
    assert [group.regions for group in card.groups] == [("Frankfurt", "Stockholm"), ("Dublin",)]
    assert card.groups[0].check.checked_at == NOW


def test_what_to_do_is_told_once_for_all_regions_that_say_the_same() -> None:
    page = root_page(
        used(told("Frankfurt", "no-answer"), told("Dublin", "no-answer"), told("Stockholm", "over"))
    )
    assert [(line.region, tells) for line, tells in page.rows] == [
        ("Frankfurt", True),
        ("Dublin", False),
        ("Stockholm", True),
    ]


def test_what_is_picked_keeps_the_lives_of_applications_leases() -> None:
    before = DesiredPolicy(encrypting_s=60.0, decrypting_s=600.0)
    picked = Picked(choice="memory-only", outage="", doubtful="900", governance="300")
    assert policy_of(picked, before) == DesiredPolicy(
        choice=Choice.MEMORY_ONLY,
        outage_s=None,
        doubtful_s=900.0,
        governance_s=300.0,
        encrypting_s=60.0,
        decrypting_s=600.0,
    )
    with pytest.raises(Wrong, match="Choose one of the three"):
        policy_of(Picked(choice="never"), before)


def test_a_window_that_a_command_gave_can_be_kept_on_the_page() -> None:
    outage, doubtful, governance = windows(DesiredPolicy(outage_s=7777.0))
    assert [(each.value, each.picked) for each in outage.options if each.value == "7777"] == [("7777", True)]
    assert (
        sum(each.picked for each in doubtful.options) == sum(each.picked for each in governance.options) == 1
    )


def test_every_way_has_its_words_and_sums_are_of_those_that_follow_each_other() -> None:
    page = outage_page()
    assert {bound.way for bound in page.worst.bounds} == set(WAYS)
    store, control, database, _, decrypting = page.ways
    assert page.at_root_key[0].seconds == store.connected_s + database.connected_s + decrypting.connected_s
    assert page.at_revoke[1].seconds == control.cut_off_s + database.cut_off_s + decrypting.cut_off_s


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "0\u00a0s"),
        (25.0, "25\u00a0s"),
        (153.0, "2\u00a0min 33\u00a0s"),
        (185.1, "3\u00a0min 6\u00a0s"),
        (3600.0, "1\u00a0h"),
        (86_400.0, "24\u00a0h"),
        (86_730.0, "24\u00a0h 6\u00a0min"),
        (3599.5, "1\u00a0h"),
    ],
)
def test_a_bound_is_never_said_to_be_shorter_than_it_is(seconds: float, said: str) -> None:
    assert at_most(seconds) == said


def test_the_picture_grows_with_time_and_ends_within_its_frame() -> None:
    lengths = [reach(seconds) for seconds in (0.0, 1.0, 60.0, 3600.0, 86_400.0, 129_600.0, 1e9)]
    assert lengths == sorted(lengths)
    assert (lengths[0], lengths[-1]) == (0.0, 100.0)
