"""The keeper of the lists, with a provider's real repository: fetched, applied, withdrawn, expired, refused, told."""

import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from agent.events.event import ListReportKind
from agent.updates.keeper import Stopping
from agent.watchlist.receipt import verify_receipt
from simulators.provider.provider import ListProvider
from tests.conftest import FakeClock
from tests.rigs.decrypted_pages import pages_of
from tests.rigs.list_keeper import DAY, GRACE_S, KIOSK_KEY, KeeperRig, entry_of, make_provider, terms_of
from tests.rigs.store_key import TEST_KEY

ALICE, BOB, CAROL = 101, 102, 103


@pytest.fixture(name="lists")
def _lists(tmp_path: Path, clock: FakeClock) -> Iterator[ListProvider]:
    with make_provider(tmp_path / "lists", clock) as lists:
        lists.put([entry_of(ALICE, clock.now()), entry_of(BOB, clock.now())])
        lists.publish(now=clock.now())
        yield lists


@pytest.fixture(name="rig")
def _rig(tmp_path: Path, clock: FakeClock, lists: ListProvider) -> Iterator[KeeperRig]:
    with KeeperRig(tmp_path / "kiosk", str(lists.public), lists.root_bytes(), clock) as rig:
        yield rig


def test_a_published_list_is_fetched_and_the_listed_traveller_is_found(rig: KeeperRig) -> None:
    assert rig.keeper.check() == {"police": "revision 1, 2 references: 2 new, 0 removed"}
    assert (rig.found(ALICE), rig.found(BOB), rig.found(CAROL)) == (["p101"], ["p102"], [])
    (report,) = rig.reports()
    assert (report.provider, report.kind, report.added) == ("police", ListReportKind.UPDATED, 2)
    candidate = rig.watchlist.search({}, 5)
    assert (candidate.references, candidate.list_incomplete, candidate.age_s) == (2, False, 0.0)


def test_without_any_list_yet_nobody_can_be_cleared(rig: KeeperRig) -> None:
    assert rig.watchlist.search({}, 5).list_incomplete
    rig.keeper.check()
    assert not rig.watchlist.search({}, 5).list_incomplete


def test_what_is_fetched_is_there_after_a_restart_without_the_repository(rig: KeeperRig, lists: ListProvider) -> None:
    rig.keeper.check()
    shutil.rmtree(lists.public)
    rig.restart()
    assert rig.found(ALICE) == ["p101"]
    assert "cannot be reached" in rig.keeper.check()[""]
    assert rig.found(ALICE) == ["p101"]
    assert [report.kind for report in rig.reports()] == [ListReportKind.UPDATED, ListReportKind.REFUSED]


def test_a_withdrawn_reference_is_gone_from_memory_and_disk_and_a_receipt_says_so(
    rig: KeeperRig, lists: ListProvider, clock: FakeClock
) -> None:
    rig.keeper.check()
    path = rig.folder / "watchlist.db"
    assert b"p101" in pages_of(path, TEST_KEY)
    lists.withdraw(["p101"])
    lists.publish(now=clock.now())
    assert rig.keeper.check() == {"police": "revision 2, 1 references: 0 new, 1 removed"}
    assert (rig.found(ALICE), rig.found(BOB)) == ([], ["p102"])
    assert b"p101" not in pages_of(path, TEST_KEY)
    report = rig.reports()[-1]
    assert (report.kind, report.removed) == (ListReportKind.WITHDRAWN, 1)
    assert report.receipt is not None
    receipt = verify_receipt(report.receipt, KIOSK_KEY.public())
    assert (receipt.reference_ids, receipt.provider, receipt.revision) == (("p101",), "police", 2)


def test_a_delta_changes_only_what_it_says(rig: KeeperRig, lists: ListProvider, clock: FakeClock) -> None:
    rig.keeper.check()
    clock.advance(60)
    lists.put([entry_of(CAROL, clock.now())])
    lists.publish(now=clock.now())
    assert rig.keeper.check() == {"police": "revision 2, 3 references: 1 new, 0 removed"}
    assert [rig.found(seed) for seed in (ALICE, BOB, CAROL)] == [["p101"], ["p102"], ["p103"]]
    assert rig.keeper.check() == {"police": "nothing new"}


def test_an_entry_that_is_not_reviewed_in_time_is_not_searched_until_it_is_confirmed(
    rig: KeeperRig, lists: ListProvider, clock: FakeClock
) -> None:
    lists.put([entry_of(CAROL, clock.now(), review_by=clock.now() + timedelta(hours=5))])
    lists.publish(now=clock.now())
    rig.keeper.check()
    assert rig.found(CAROL) == ["p103"]
    clock.advance(6 * 3600)
    assert rig.found(CAROL) == []
    lists.confirm(["p103"], clock.now() + DAY)
    lists.publish(now=clock.now())
    rig.keeper.check()
    assert rig.found(CAROL) == ["p103"]


def test_what_has_expired_is_hidden_at_once_and_deleted_after_the_time_of_grace(
    rig: KeeperRig, lists: ListProvider, clock: FakeClock
) -> None:
    lists.put([entry_of(CAROL, clock.now(), expires_at=clock.now() + timedelta(hours=1))])
    lists.publish(now=clock.now())
    rig.keeper.check()
    clock.advance(3600)
    rig.keeper.tick()
    assert rig.found(CAROL) == []
    assert b"p103" in pages_of(rig.folder / "watchlist.db", TEST_KEY)
    clock.advance(GRACE_S)
    rig.keeper.tick()
    assert b"p103" not in pages_of(rig.folder / "watchlist.db", TEST_KEY)
    report = rig.reports()[-1]
    assert report.kind is ListReportKind.EXPIRED
    assert report.receipt is not None
    assert verify_receipt(report.receipt, KIOSK_KEY.public()).reference_ids == ("p103",)
    assert sorted(rig.ids()) == ["p101", "p102"]


def test_a_clock_ten_years_ahead_and_back_destroys_nothing_clears_nobody_and_revives_nobody(
    rig: KeeperRig, lists: ListProvider, clock: FakeClock
) -> None:
    clock.is_synchronised = False
    lists.put([entry_of(CAROL, clock.now(), expires_at=clock.now() + timedelta(hours=1))])
    lists.publish(now=clock.now())
    rig.keeper.check()
    clock.advance(4000)
    assert rig.found(CAROL) == []
    now = clock.wall
    for wall in (now + 3650 * DAY, now - 365 * DAY, now.replace(year=1970), now):
        clock.wall = wall
        rig.keeper.tick()
        rig.restart()
        rig.keeper.tick()
        found = rig.watchlist.search({}, 5)
        assert found.clock_in_doubt == (wall != now)
        assert (rig.found(ALICE), rig.found(BOB), rig.found(CAROL)) == (["p101"], ["p102"], [])
        assert not found.list_incomplete
    assert sorted(rig.ids()) == ["p101", "p102"]


def test_a_list_whose_signatures_have_expired_is_used_for_a_while_and_then_clears_nobody(
    rig: KeeperRig, clock: FakeClock
) -> None:
    rig.keeper.check()
    until = rig.watchlist.in_memory.view.valid_until
    assert until is not None

    def state(hours: float) -> tuple[bool, bool]:
        clock.advance((until - clock.now()).total_seconds() + 3600 * hours)
        rig.keeper.tick()
        assert rig.found(ALICE) == ["p101"]
        found = rig.watchlist.search({}, 5)
        return found.list_expired, found.list_unusable

    assert [state(hours) for hours in (-1, 1, 71, 73)] == [(False, False), (True, False), (True, False), (True, True)]
    assert "expired" in rig.keeper.problems[""]


def test_an_entry_without_its_terms_is_refused_by_name_and_the_rest_is_applied(
    rig: KeeperRig, lists: ListProvider, clock: FakeClock
) -> None:
    line = json.loads(entry_of(CAROL, clock.now()).model_dump_json())
    del line["necessity"], line["review_by"]
    lists.put_raw("p103", json.dumps({"op": "put", "entry": line}).encode() + b"\n")
    lists.publish(now=clock.now())
    rig.keeper.check()
    assert (rig.found(ALICE), rig.found(CAROL)) == (["p101"], [])
    report = rig.reports()[-1]
    assert report.refused_count == 1
    assert report.refused[0].reference_id == "p103"
    assert "necessity" in report.refused[0].reason
    assert "review_by" in report.refused[0].reason


def test_a_provider_that_is_no_longer_in_the_repository_is_removed_with_its_references(
    tmp_path: Path, clock: FakeClock
) -> None:
    """And one that comes is added: partners do not touch each other's lists."""
    with make_provider(tmp_path / "l", clock, "police", "border") as lists:
        lists.put([entry_of(ALICE, clock.now())], "police")
        lists.put([entry_of(BOB, clock.now())], "border")
        lists.publish(now=clock.now())
        with KeeperRig(tmp_path / "kiosk", str(lists.public), lists.root_bytes(), clock) as rig:
            rig.keeper.check()
            assert (rig.found(ALICE), rig.found(BOB)) == (["p101"], ["p102"])


def test_a_damaged_block_costs_only_its_list_and_the_list_is_fetched_again(
    rig: KeeperRig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.keeper.check()
    rig.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agent.watchlist.store.check_memory", lambda *_: (_ for _ in ()).throw(LookupError("damaged")))
        rig._open()
    assert "the list police is damaged" in caplog.text
    found = rig.watchlist.search({}, 5)
    assert (found.references, found.list_incomplete) == (0, True)
    assert rig.keeper.check() == {"police": "revision 1, 2 references: 2 new, 0 removed"}
    assert rig.found(ALICE) == ["p101"]
    assert not rig.watchlist.search({}, 5).list_incomplete


def test_terms_that_change_apply_to_references_that_do_not(
    rig: KeeperRig, lists: ListProvider, clock: FakeClock
) -> None:
    rig.keeper.check()
    lists.agree(terms_of("police", clock.now(), recipients=("police",), keep_days=10))
    lists.publish(now=clock.now())
    rig.keeper.check()
    (info, _) = rig.watchlist.references()
    assert info.recipients == ("police",)
    assert info.expires_at == clock.now() + 10 * DAY


def test_verify_reads_every_list_again_and_mends_the_disk_from_memory(rig: KeeperRig) -> None:
    rig.keeper.check()
    assert rig.keeper.verify() == {"police": "2 references, complete on disk and in memory"}
    rig.store._db.execute("DELETE FROM blob")
    assert "written again from memory" in rig.keeper.verify()["police"]
    rig.restart()
    assert rig.found(ALICE) == ["p101"]


def test_state_says_what_is_here(rig: KeeperRig, clock: FakeClock) -> None:
    rig.keeper.check()
    state = rig.keeper.state()
    assert state["lists"][0]["categories"] == {"missing": 2}
    assert state["lists"][0]["agreements"][0]["agreement"] == "treaty"
    assert state["trusted_time"] == clock.now().isoformat()
    assert state["problems"] == {}
    assert state["memory_bytes"] > 4000
    json.dumps(state)


def test_what_an_interrupted_update_has_left_is_deleted_after_the_start(rig: KeeperRig) -> None:
    rig.keeper.check()
    known = rig.watchlist.in_memory.view.segments["police"]
    rig.store.stage(known.segment.changed(2, removed=frozenset({"p101"})), known)
    rig.restart()
    assert rig.store.unused_segments() == ("police",)
    rig.keeper.tick()
    assert rig.store.unused_segments() == ()
    assert rig.found(ALICE) == ["p101"]


def test_an_update_that_is_stopped_leaves_the_old_list_and_is_made_again(
    rig: KeeperRig, lists: ListProvider, clock: FakeClock
) -> None:
    rig.keeper.check()
    lists.put([entry_of(CAROL, clock.now())])
    lists.publish(now=clock.now())

    def stop() -> None:
        raise Stopping

    rig.keeper._beat = stop
    with pytest.raises(Stopping):
        rig.keeper.check()
    rig.restart()
    assert sorted(rig.ids()) == ["p101", "p102"]
    rig.keeper.check()
    assert sorted(rig.ids()) == ["p101", "p102", "p103"]


def test_a_fault_of_the_agent_in_one_list_ends_nothing(
    rig: KeeperRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("agent.updates.segment_update.ListUpdate.apply", lambda *_: 1 / 0)
    assert "ZeroDivisionError: a fault of the agent" in rig.keeper.check()["police"]
    assert "a list could not be used" in caplog.text
    monkeypatch.setattr("agent.updates.keeper.ListKeeper._take_over", lambda *_: 1 / 0)
    assert "ZeroDivisionError" in rig.keeper.check()[""]
