"""The bookkeeping with its time handed in: what is told when, and what is never told."""

from __future__ import annotations

from openkcm.sdk.tenant_source import Known, Observation, Presence
from openkcm_tenants_directory.claims import MAX_PROBLEMS
from openkcm_tenants_directory.files import Files
from openkcm_tenants_directory.folder import Entry, Look, Stamp
from openkcm_tenants_directory.ledger import Ledger
from openkcm_tenants_directory.manifests import contents_of

LONG_AGO = -1_000_000.0


def account(name: str, uid: str = "", *, parent: str = "1org") -> str:
    own = f"  uid: {uid}\n" if uid else ""
    return (
        "apiVersion: core.platform-mesh.io/v1alpha1\nkind: Account\nmetadata:\n"
        f"  name: {name}\n{own}  annotations:\n    kcp.io/cluster: {parent}\n---\n"
    )


class Desk:
    """A folder of texts, a clock, and the ledger over them."""

    def __init__(self, *known: Known, settle_s: float = 0.05) -> None:
        self.now = 100.0
        self.texts: dict[str, tuple[int, str]] = {}
        self.files = Files(settle_s=settle_s, max_bytes=1000)
        self.ledger = Ledger(self.files, known=known, confirm_s=1.0, all_gone_confirm_s=60.0)

    def write(self, name: str, text: str, *, inode: int = 1) -> None:
        self.texts[name] = (self.texts.get(name, (0, ""))[0] + 1, text)

    def look(self, after_s: float = 0.0, *, modified_s: float = LONG_AGO) -> list[tuple[str, Presence]]:
        """One round as the source does it; answers what is told."""
        self.now += after_s
        entries = {}
        for name, (version, text) in self.texts.items():
            stamp: Stamp = (1, 1, len(text), version, version)
            entries[name] = Entry(stamp, len(text), modified_s)
        self.files.saw(Look((1, 1), entries), now=self.now)
        for name, stamp in self.files.due(now=self.now, wall_s=0.0):
            content = contents_of(self.texts[name][1].encode(), file_name=name, issuer="")
            self.files.took(name, stamp, content, now=self.now)
        return [(each.tenant_id or each.name, each.presence) for each in self.news()]

    def news(self) -> list[Observation]:
        return list(self.ledger.news(now=self.now))

    def problems(self) -> list[str]:
        return [f"{each.origin}:{each.line}: {each.message}" for each in self.ledger.problems()]


THERE, GONE = Presence.PRESENT, Presence.UNINSTALLED


def was(name: str, tenant_id: str | None, *, presence: Presence = THERE, parent: str = "1org") -> Known:
    reference = f"{name}.yaml#1"
    return Known(
        tenant_id=tenant_id, kind="Account", parent=parent, name=name, presence=presence, reference=reference
    )


def test_what_was_told_is_not_told_again() -> None:
    desk = Desk()
    desk.write("a.yaml", account("a", "uid-a"))
    assert desk.look() == [("uid-a", THERE)]
    assert desk.look(1.0) == []


def test_a_fresh_file_rests_before_it_is_read() -> None:
    desk = Desk()
    desk.write("a.yaml", account("a", "uid-a"))
    assert desk.look(modified_s=0.0) == []
    assert desk.look(0.04, modified_s=0.0) == []
    assert desk.look(0.02, modified_s=0.0) == [("uid-a", THERE)]


def test_a_file_from_the_future_rests_no_longer_than_others() -> None:
    desk = Desk()
    desk.write("a.yaml", account("a", "uid-a"))
    desk.look(modified_s=1e9)
    assert desk.look(0.06, modified_s=1e9) == [("uid-a", THERE)]


def test_a_removal_is_told_when_a_second_look_a_second_later_confirms_it() -> None:
    desk = Desk()
    desk.write("a.yaml", account("a", "uid-a"))
    desk.write("b.yaml", account("b", "uid-b"))
    desk.look()
    del desk.texts["a.yaml"]
    assert desk.look(1.0) == []
    assert desk.look(0.9) == []
    assert desk.look(0.2) == [("uid-a", GONE)]
    assert desk.look(10.0) == []


def test_what_comes_back_between_the_two_looks_was_never_away() -> None:
    desk = Desk()
    for name in ("a", "b"):
        desk.write(f"{name}.yaml", account(name, f"uid-{name}"))
    desk.look()
    del desk.texts["a.yaml"]
    desk.look(1.0)
    desk.write("a.yaml", account("a", "uid-a"))
    assert desk.look(0.5) == []
    del desk.texts["a.yaml"]
    assert desk.look(0.5) == []
    assert desk.look(0.9) == []
    assert desk.look(0.2) == [("uid-a", GONE)]


def test_a_half_written_file_is_no_deletion_however_long_it_stays() -> None:
    desk = Desk()
    desk.write("a.yaml", account("a", "uid-a") + account("b", "uid-b"))
    desk.look()
    for half in (
        account("a", "uid-a") + "kind: [",
        "",
        "kind: Account\n",
        account("a", "uid-a") + "just text",
    ):
        desk.write("a.yaml", half)
        assert desk.look(1.0) == []
        assert desk.look(100.0) == []
        assert desk.problems()[0].startswith("a.yaml")
    desk.write("a.yaml", account("a", "uid-a") + account("b", "uid-b"))
    assert desk.look(1.0) == []
    assert desk.problems() == []


def test_a_document_taken_out_of_a_file_is_a_removal() -> None:
    desk = Desk()
    desk.write("a.yaml", account("a", "uid-a") + account("b", "uid-b"))
    desk.look()
    desk.write("a.yaml", account("a", "uid-a"))
    desk.look(1.0)
    assert desk.look(1.1) == [("uid-b", GONE)]


def test_a_renamed_file_keeps_its_tenants() -> None:
    desk = Desk()
    desk.write("a.yaml", account("a", "uid-a") + account("hand", ""))
    desk.look()
    desk.texts["z.yaml"] = desk.texts.pop("a.yaml")
    assert desk.look(1.0) == [("uid-a", THERE), ("hand", THERE)]
    assert desk.look(10.0) == []


def test_all_gone_at_once_is_believed_a_minute_later_and_said_meanwhile() -> None:
    desk = Desk()
    for name in ("a", "b", "c"):
        desk.write(f"{name}.yaml", account(name, f"uid-{name}"))
    desk.look()
    kept = dict(desk.texts)
    desk.texts.clear()
    desk.look(1.0)
    assert desk.look(50.0) == []
    assert "All 3 tenants" in desk.problems()[0]
    desk.texts.update(kept)
    assert desk.look(5.0) == []
    assert desk.problems() == []
    desk.texts.clear()
    desk.look(1.0)
    assert sorted(desk.look(61.0)) == [("uid-a", GONE), ("uid-b", GONE), ("uid-c", GONE)]


def test_the_same_id_twice_is_refused_naming_both_and_the_first_keeps_it() -> None:
    desk = Desk()
    desk.write("m.yaml", account("a", "uid-a"))
    desk.look()
    desk.write("b.yaml", account("other", "uid-a"))
    assert desk.look(1.0) == []
    [said] = desk.problems()
    assert "b.yaml" in said
    assert "m.yaml" in said
    del desk.texts["m.yaml"]
    assert desk.look(1.0) == [("uid-a", THERE)]
    assert desk.problems() == []


def test_the_same_name_twice_is_refused_naming_both() -> None:
    desk = Desk()
    desk.write("a.yaml", account("a", "uid-1"))
    desk.write("b.yaml", account("a", "uid-2"))
    assert desk.look() == [("uid-1", THERE)]
    [said] = desk.problems()
    assert "a.yaml" in said
    assert "b.yaml" in said


def test_the_same_twice_in_one_file_names_both_documents() -> None:
    desk = Desk()
    desk.write("a.yaml", account("a", "uid-1") + account("b", "uid-1"))
    assert desk.look() == [("uid-1", THERE)]
    [said] = desk.problems()
    assert "a.yaml, document 1" in said
    assert "a.yaml, document 2" in said


def test_the_same_name_under_two_parents_is_two_tenants() -> None:
    desk = Desk()
    desk.write("a.yaml", account("a", parent="1org") + account("a", parent="2org"))
    assert desk.look() == [("a", THERE), ("a", THERE)]
    assert desk.problems() == []


def test_an_account_and_its_info_are_one_account() -> None:
    desk = Desk()
    info = (
        "apiVersion: core.platform-mesh.io/v1alpha1\nkind: AccountInfo\nmetadata: {name: account}\n"
        "spec: {account: {name: a, generatedClusterId: 2own, originClusterId: 1org}}\n"
    )
    desk.write("a.yaml", account("a", "uid-a"))
    desk.write("info.yaml", info)
    assert desk.look() == [("uid-a", THERE)]
    assert "info.yaml" in desk.problems()[0]


def test_a_half_written_holder_keeps_its_tenant_from_others() -> None:
    desk = Desk()
    desk.write("a.yaml", account("a", "uid-a"))
    desk.look()
    desk.write("a.yaml", "kind: [")
    desk.write("b.yaml", account("a", "uid-a"))
    assert desk.look(1.0) == []
    assert desk.look(10.0) == []
    assert len(desk.problems()) == 2


def test_a_holder_that_is_half_written_at_the_start_keeps_its_tenant_from_others() -> None:
    desk = Desk(was("a", "uid-a"))
    desk.write("a.yaml", "kind: [")
    desk.write("b.yaml", account("a", "uid-a"))
    assert desk.look() == []
    assert any("b.yaml" in said and "a.yaml" in said for said in desk.problems())
    desk.write("a.yaml", account("a", "uid-a"))
    assert desk.look(1.0) == [("uid-a", THERE)]


def test_a_replaced_account_is_a_new_tenant_and_the_old_one_is_uninstalled() -> None:
    desk = Desk()
    desk.write("a.yaml", account("a", "uid-old") + account("b", "uid-b"))
    desk.look()
    desk.write("a.yaml", account("a", "uid-new") + account("b", "uid-b"))
    assert desk.look(1.0) == [("uid-new", THERE)]
    assert desk.look(1.1) == [("uid-old", GONE)]


def test_an_equal_cursor_tells_nothing_again_but_what_the_core_does_not_have() -> None:
    first = Desk()
    first.write("a.yaml", account("a", "uid-a") + account("b", "uid-b"))
    first.look()
    second = Desk(was("a", "uid-a"))
    second.write("a.yaml", first.texts["a.yaml"][1])
    second.files.saw(Look((1, 1), {"a.yaml": Entry((1, 1, 9, 1, 1), 9, LONG_AGO)}), now=100.0)
    for name, stamp in second.files.due(now=100.0, wall_s=0.0):
        content = contents_of(second.texts[name][1].encode(), file_name=name, issuer="")
        second.files.took(name, stamp, content, now=100.0)
    second.ledger.trust(first.ledger.cursor)
    assert [each.tenant_id for each in second.news()] == ["uid-b"]
    assert second.ledger.cursor == first.ledger.cursor


def test_what_went_away_while_nobody_looked_is_confirmed_and_told() -> None:
    desk = Desk(was("gone", "uid-gone"), was("hand", None), was("x", "uid-x", presence=GONE))
    desk.write("a.yaml", account("a", "uid-a"))
    assert desk.look() == [("uid-a", THERE)]
    assert desk.look(0.5) == []
    assert desk.look(0.6) == [("uid-gone", GONE), ("hand", GONE)]


def test_a_file_that_is_half_written_at_the_start_keeps_what_the_core_knows_of_it() -> None:
    desk = Desk(was("a", "uid-a"))
    desk.write("a.yaml", "kind: [")
    assert desk.look() == []
    assert desk.look(100.0) == []


def test_a_cursor_is_as_short_for_many_as_for_one() -> None:
    desk = Desk()
    lengths = {len(desk.ledger.cursor)}
    for number in range(300):
        desk.write(f"{number}.yaml", account(f"n{number}", f"uid-{number}"))
    desk.look()
    lengths.add(len(desk.ledger.cursor))
    assert max(lengths) < 80
    assert len(lengths) == 1


def test_the_list_of_problems_is_bounded() -> None:
    desk = Desk()
    for number in range(MAX_PROBLEMS + 50):
        desk.write(f"{number}.yaml", "kind: [")
    desk.look()
    said = desk.problems()
    assert len(said) == MAX_PROBLEMS
    assert "51 more" in said[-1]
