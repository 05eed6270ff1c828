"""The keeper of the lists, with a provider's real repository: fetched, applied, withdrawn, expired, refused, told."""

import json
import shutil
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.errors import StoreError
from agent.events.event import ListReport, ListReportKind
from agent.storage.database import StoreDamaged, StoreFull
from agent.updates.keeper import ASKED_S, KeeperConfig, ListKeeper, Stopping, list_state, owed
from agent.watchlist.receipt import MOST_IDS, verify_receipt
from agent.watchlist.trusted_time import StoredTime
from agent.watchlist.watchlist import TIME
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


def test_the_lists_of_two_providers_are_searched_together(tmp_path: Path, clock: FakeClock) -> None:
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
    assert "the list police is not searched: damaged" in caplog.text
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
    state = list_state(rig.watchlist.in_memory, rig.keeper.problems, rig.keeper.checked_at)
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


def refuse_writes(rig: KeeperRig, *, refused: bool) -> None:
    """The disk takes nothing more, or does again."""
    for db in (rig.store._db, rig.outbox._db):
        db.execute(f"PRAGMA query_only = {int(refused)}")


def test_a_disk_that_takes_nothing_is_told_and_the_list_is_searched_on(
    rig: KeeperRig, lists: ListProvider, clock: FakeClock
) -> None:
    rig.keeper.check()
    lists.withdraw(["p101"])
    lists.publish(now=clock.now())
    refuse_writes(rig, refused=True)
    clock.advance(900)
    rig.keeper.tick()
    assert "cannot be written" in rig.keeper.problems[""]
    assert rig.found(ALICE) == ["p101"]
    refuse_writes(rig, refused=False)
    rig.keeper.check()
    assert rig.keeper.problems == {}
    assert rig.found(ALICE) == []


def keeper_without(rig: KeeperRig, **changed: Any) -> ListKeeper:  # noqa: ANN401 - fields of the configuration
    """A keeper of the same stores whose configuration lacks something, or has something else."""
    config = KeeperConfig(rig._repository, rig._sign, 900.0, GRACE_S)
    return ListKeeper(replace(config, **changed), rig.store, rig.outbox, rig.watchlist.in_memory, rig.clock)


def test_a_receipt_that_cannot_be_stored_is_still_owed(rig: KeeperRig, lists: ListProvider, clock: FakeClock) -> None:
    rig.keeper.check()
    lists.withdraw(["p101"])
    lists.publish(now=clock.now())

    def sign_as_the_disk_fails(*_: object) -> str:
        refuse_writes(rig, refused=True)
        return "a.b.c"

    keeper = keeper_without(rig, sign=sign_as_the_disk_fails)
    assert keeper.check() == {"police": "revision 2, 1 references: 0 new, 1 removed"}
    rig.store._db.execute("PRAGMA query_only = 0")
    rig.keeper.tick()  # only the outbox takes nothing
    refuse_writes(rig, refused=False)
    assert not any(one.receipt for one in rig.reports())
    rig.keeper.tick()
    (receipt,) = [one.receipt for one in rig.reports() if one.receipt]
    assert verify_receipt(receipt, KIOSK_KEY.public()).reference_ids == ("p101",)


def test_a_receipt_that_was_sent_and_not_noted_is_sent_again(
    rig: KeeperRig, lists: ListProvider, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.keeper.check()
    lists.withdraw(["p101"])
    lists.publish(now=clock.now())
    put = rig.keeper._put

    def put_as_the_disk_fails(report: ListReport) -> bool:
        stored = put(report)
        rig.store._db.execute(f"PRAGMA query_only = {int(report.receipt is not None)}")
        return stored

    with monkeypatch.context() as patch:
        patch.setattr(rig.keeper, "_put", put_as_the_disk_fails)
        rig.keeper.check()
    assert "cannot be written" in rig.keeper.problems[""]
    rig.store._db.execute("PRAGMA query_only = 0")
    rig.keeper.tick()
    rig.keeper.tick()
    receipts = [verify_receipt(one.receipt, KIOSK_KEY.public()) for one in rig.reports() if one.receipt]
    assert [one.reference_ids for one in receipts] == [("p101",)] * 2


def test_trusted_time_is_stored_every_minute_and_at_the_end(rig: KeeperRig, clock: FakeClock) -> None:
    rig.keeper.tick()

    def stored() -> datetime:
        return StoredTime.of_text(rig.store.facts()[TIME]).trusted

    for seconds, age in ((59, 59), (1, 0), (59, 59)):
        clock.advance(seconds)
        rig.keeper.tick()
        assert clock.now() - stored() == timedelta(seconds=age)
    rig.keeper.store_time()
    assert stored() == clock.now()


def test_receipts_wait_for_who_can_sign_them(rig: KeeperRig, lists: ListProvider, clock: FakeClock) -> None:
    """A command of an operator has no key: the daemon signs later."""
    rig.keeper.check()
    lists.withdraw(["p101"])
    lists.publish(now=clock.now())
    keeper_without(rig, sign=None).check()
    assert rig.found(ALICE) == []
    assert not any(one.receipt for one in rig.reports())
    rig.restart()
    rig.keeper.tick()
    assert sum(one.receipt is not None for one in rig.reports()) == 1


def test_without_a_repository_nothing_is_fetched_and_what_is_here_expires(rig: KeeperRig, clock: FakeClock) -> None:
    rig.keeper.check()
    keeper = keeper_without(rig, open_repository=None)
    assert keeper.check() == {}
    clock.advance(100 * DAY.total_seconds() + GRACE_S)
    keeper.tick()
    assert rig.ids() == []
    assert b"p101" not in pages_of(rig.folder / "watchlist.db", TEST_KEY)


def test_many_deleted_references_have_several_receipts_that_name_each_once() -> None:
    ids = [f"r{number}" for number in range(2 * MOST_IDS + 1)]
    rows = [json.loads(text or "") for text in owed("police", 3, ids, "expired").values()]
    assert [len(row["ids"]) for row in rows] == [MOST_IDS, MOST_IDS, 1]
    assert [one for row in rows for one in row["ids"]] == ids
    assert owed("police", 3, [], "expired") == {}


def test_a_check_that_is_asked_for_is_made_at_the_next_tick_but_not_at_once_after_another(
    rig: KeeperRig, lists: ListProvider, clock: FakeClock
) -> None:
    rig.keeper.tick()
    lists.put([entry_of(CAROL, clock.now())])
    lists.publish(now=clock.now())
    rig.keeper.check_soon()
    rig.keeper.tick()
    assert rig.found(CAROL) == []
    clock.advance(ASKED_S)
    rig.keeper.check_soon()
    rig.keeper.tick()
    assert rig.found(CAROL) == ["p103"]


@pytest.fixture(name="two")
def _two(tmp_path: Path, clock: FakeClock) -> Iterator[ListProvider]:
    """The lists of two providers: Alice is on one, Bob on the other."""
    with make_provider(tmp_path / "two", clock, "police", "border") as lists:
        lists.put([entry_of(ALICE, clock.now())], "police")
        lists.put([entry_of(BOB, clock.now())], "border")
        lists.publish(now=clock.now())
        yield lists


def test_a_list_that_is_refused_costs_no_other_list_anything_and_is_told_once(
    two: ListProvider, tmp_path: Path, clock: FakeClock
) -> None:
    with KeeperRig(tmp_path / "kiosk", str(two.public), two.root_bytes(), clock) as rig:
        (part,) = (two.public / "targets" / "police" / "parts").iterdir()
        right = part.read_bytes()
        part.write_bytes(right[:-1])
        for _ in range(2):
            done = rig.keeper.check()
            assert done["border"] in ("revision 1, 1 references: 1 new, 0 removed", "nothing new")
            assert done["police"] == rig.keeper.problems["police"] != ""
        assert (rig.found(ALICE), rig.found(BOB)) == ([], ["p102"])
        assert rig.watchlist.search({}, 5).list_incomplete
        kinds = [(one.provider, one.kind) for one in rig.reports()]
        assert sorted(kinds) == [("border", ListReportKind.UPDATED), ("police", ListReportKind.REFUSED)]
        part.write_bytes(right)
        rig.keeper.check()
        assert rig.keeper.problems == {}
        assert rig.found(ALICE) == ["p101"]
        assert not rig.watchlist.search({}, 5).list_incomplete


def test_the_references_of_a_provider_that_leaves_the_repository_are_deleted(
    two: ListProvider, tmp_path: Path, clock: FakeClock
) -> None:
    with KeeperRig(tmp_path / "kiosk", str(two.public), two.root_bytes(), clock) as rig:
        rig.keeper.check()
        metadata = two.metadata(clock.now())
        with metadata.edit_targets() as targets:
            assert targets.delegations is not None
            assert targets.delegations.roles is not None
            del targets.delegations.roles["border"]
        metadata.finish()
        done = rig.keeper.check()
        assert done == {"police": "nothing new", "border": "no longer in the repository: removed"}
        assert (rig.found(ALICE), rig.found(BOB)) == (["p101"], [])
        assert b"p102" not in pages_of(rig.folder / "watchlist.db", TEST_KEY)
        report = rig.reports()[-1]
        assert (report.provider, report.kind, report.removed) == ("border", ListReportKind.WITHDRAWN, 1)
        rig.restart()
        assert rig.ids() == ["p101"]
        assert not rig.watchlist.search({}, 5).list_incomplete


def test_a_list_that_goes_back_to_an_earlier_revision_is_refused(
    rig: KeeperRig, lists: ListProvider, clock: FakeClock, tmp_path: Path
) -> None:
    """A provider that has restored an old copy of its database."""
    store = lists.folder / "lists.db"
    lists.close()
    shutil.copy(store, tmp_path / "copy")
    for seed in (CAROL, 104):
        with ListProvider(lists.folder) as again:
            again.put([entry_of(seed, clock.now())])
            again.publish(now=clock.now())
    rig.keeper.check()
    shutil.copy(tmp_path / "copy", store)
    with ListProvider(lists.folder) as restored:
        restored.publish(now=clock.now(), force=True)
    problem = rig.keeper.check()["police"]
    assert problem.startswith("the list of police went back from revision 3 to 2: refused; the provider must publish")
    assert rig.found(CAROL) == ["p103"]


def test_a_provider_may_not_have_the_name_of_the_local_list_and_one_may_not_have_published_yet(
    tmp_path: Path, clock: FakeClock
) -> None:
    with make_provider(tmp_path / "l", clock, "local", "police") as lists:
        lists.publish("local", now=clock.now())
        with KeeperRig(tmp_path / "kiosk", str(lists.public), lists.root_bytes(), clock) as rig:
            done = rig.keeper.check()
    assert done == {"local": "a provider cannot have the name local", "police": "nothing new"}


def test_a_log_that_a_power_cut_has_brought_back_is_emptied_after_the_start(
    rig: KeeperRig, lists: ListProvider, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store was written and the log emptied; only the second of both was lost."""
    rig.keeper.check()
    path, log = rig.folder / "watchlist.db", rig.folder / "watchlist.db-wal"
    lists.withdraw(["p101"])
    lists.publish(now=clock.now())
    with monkeypatch.context() as patch:
        patch.setattr("agent.watchlist.store.truncate_log", lambda _: True)
        rig.keeper.check()
        left = log.read_bytes()
    rig.close()
    log.write_bytes(left)
    assert b"p101" in pages_of(path, TEST_KEY)
    rig._open()
    rig.keeper.tick()
    assert b"p101" not in pages_of(path, TEST_KEY)


def test_no_receipt_is_signed_while_a_full_disk_prevents_the_deletion(
    rig: KeeperRig, lists: ListProvider, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise StoreFull("watchlist.db: the disk is full: free some space")

    rig.keeper.check()
    lists.withdraw(["p101"])
    lists.publish(now=clock.now())
    with monkeypatch.context() as patch:
        patch.setattr(rig.store, "delete_unused", full)
        rig.keeper.check()
        rig.keeper.tick()
        assert not any(report.receipt for report in rig.reports())
    rig.keeper.tick()
    assert b"p101" not in pages_of(rig.folder / "watchlist.db", TEST_KEY)
    assert [report.kind for report in rig.reports() if report.receipt] == [ListReportKind.WITHDRAWN]


def test_parts_that_a_power_cut_left_after_the_commit_are_deleted_at_the_next_check(
    rig: KeeperRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PowerCut(BaseException):
        pass

    delete_parts = rig.store.delete_parts

    def cut(segment: str, keep: Collection[str] | None = None) -> None:
        if keep is None:
            raise PowerCut
        delete_parts(segment, keep)

    monkeypatch.setattr(rig.store, "delete_parts", cut)
    with pytest.raises(PowerCut):
        rig.keeper.check()
    rig.restart()
    digest = rig.store._db.execute("SELECT name FROM part").fetchone()[0]
    assert rig.store.has_part("police", digest)
    rig.keeper.check()
    assert not rig.store.has_part("police", digest)


def test_an_outbox_that_cannot_be_written_ends_no_worker(rig: KeeperRig, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise StoreError("outbox.db: cannot be read or written: check the disk")

    monkeypatch.setattr(rig.outbox, "put", broken)
    rig.keeper.tick()
    assert rig.found(ALICE) == ["p101"]


def test_a_list_that_a_mirror_withholds_makes_the_whole_old_although_the_others_are_fresh(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make_provider(tmp_path / "l", clock, "police", "border") as lists:
        lists.put([entry_of(ALICE, clock.now())], "police")
        lists.put([entry_of(BOB, clock.now())], "border")
        lists.publish(now=clock.now())
        with KeeperRig(tmp_path / "kiosk", str(lists.public), lists.root_bytes(), clock) as rig:
            rig.keeper.check()
            clock.advance(86_400)
            lists.put([entry_of(CAROL, clock.now())], "border")
            lists.publish(now=clock.now(), force=True)
            for part in (lists.public / "targets" / "border" / "parts").iterdir():
                part.unlink()
            rig.keeper.check()
            assert "border" in rig.keeper.problems
            assert rig.watchlist.search({}, 5).age_s == pytest.approx(86_400)


def test_a_damaged_list_of_a_provider_who_has_left_does_not_come_back(tmp_path: Path, clock: FakeClock) -> None:
    with make_provider(tmp_path / "l", clock) as lists:
        lists.put([entry_of(ALICE, clock.now())])
        lists.publish(now=clock.now())
        with KeeperRig(tmp_path / "kiosk", str(lists.public), lists.root_bytes(), clock) as rig:
            rig.keeper.check()
            known = rig.watchlist.in_memory.view.segments["police"]
            rig.store.commit([rig.store.stage(replace(known.segment, name="gone"))])
            assert rig.store.names() == ("gone", "police")  # on the disk only, as after damage
            assert rig.keeper.check()["gone"] == "no longer in the repository: removed"
            assert rig.store.names() == ("police",)


def test_lists_that_are_no_longer_configured_are_deleted_with_receipts(rig: KeeperRig) -> None:
    rig.keeper.check()
    keeper = keeper_without(rig, open_repository=None)
    keeper.tick()
    assert rig.store.names() == ()
    assert b"p101" not in pages_of(rig.folder / "watchlist.db", TEST_KEY)
    receipts = [verify_receipt(one.receipt, KIOSK_KEY.public()) for one in rig.reports() if one.receipt]
    assert [one.reference_ids for one in receipts] == [("p101", "p102")]
    keeper.tick()


def test_a_kiosk_without_a_daemon_checks_only_when_asked(rig: KeeperRig) -> None:
    rig.keeper.automatic = False
    rig.keeper.tick()
    assert rig.ids() == []
    rig.keeper.check()
    assert rig.ids() == ["p101", "p102"]


def test_a_list_that_is_longer_than_its_manifest_says_is_refused_before_memory_is_used_up(
    rig: KeeperRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.storage.free_space.free_memory", lambda: 80_000_000)
    assert "add memory" in rig.keeper.check()["police"]
    assert rig.ids() == []


def test_a_page_that_cannot_be_deleted_prevents_nothing_else_and_the_next_start_knows_of_it(
    rig: KeeperRig, lists: ListProvider, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists.put([entry_of(CAROL, clock.now(), expires_at=clock.now() + timedelta(hours=1))])
    lists.publish(now=clock.now())
    rig.keeper.check()

    def damaged() -> None:
        raise StoreDamaged("watchlist.db: is damaged or changed")

    monkeypatch.setattr(rig.keeper, "_delete_left_over", damaged)
    clock.advance(3600 + GRACE_S)
    rig.keeper.tick()
    assert sorted(rig.ids()) == ["p101", "p102"]
    assert b"p103" not in pages_of(rig.folder / "watchlist.db", TEST_KEY)
    rig.restart()
    assert rig.watchlist.in_memory.damaged
