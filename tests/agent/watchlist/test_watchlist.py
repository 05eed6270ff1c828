"""The watchlist: found when there, gone when removed or expired (from the disk too), the same after a restart."""

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from agent.config import AgreementConfig
from agent.errors import StoreError
from agent.events.event import Category
from agent.storage.database import open_store
from agent.watchlist.reference import Reference
from agent.watchlist.searches_first import SearchesFirst
from agent.watchlist.store import MIGRATIONS, open_watchlist_store
from agent.watchlist.watchlist import Presearch, Watchlist, rebuild_store
from drivers.sample import Position
from models.encoder import Scored
from models.finger.search.gallery import FingerGallery
from models.finger.template import arrays_of
from models.template import Template, TemplateError
from tests.conftest import FakeClock, template_of
from tests.rigs.decrypted_pages import pages_of
from tests.rigs.store_key import TEST_KEY

INDEX, THUMB = Position.RIGHT_INDEX, Position.RIGHT_THUMB
AGREEMENT = AgreementConfig(
    provider="partner", purpose="test", legal_basis="agreement 1", recipients=("hub",), keep_s=3600
)
ALICE, BOB, CAROL = 101, 102, 103


def reference(clock: FakeClock, seed: int, keep_s: float = 3600, position: Position = INDEX) -> Reference:
    return Reference(
        f"r{seed}",
        "agreement-1",
        Category.WANTED,
        clock.now() + timedelta(seconds=keep_s),
        ((position, template_of(seed, 0, position)),),
    )


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "watchlist.db"


@pytest.fixture(name="watchlist")
def _watchlist(path: Path, clock: FakeClock) -> Iterator[Watchlist]:
    watchlist = Watchlist(path, clock, key=TEST_KEY)
    yield watchlist
    watchlist.close()


def found(watchlist: Watchlist, seed: int, position: Position = INDEX) -> list[str]:
    candidates = watchlist.search({position: template_of(seed, 1, position)}, 5).candidates
    return [c.reference_id for c in candidates if c.false_match_rate < 0.001]


def test_a_listed_person_is_found_and_another_is_not(watchlist: Watchlist, clock: FakeClock) -> None:
    watchlist.add(reference(clock, ALICE), AGREEMENT)
    watchlist.add(reference(clock, BOB), AGREEMENT)
    assert found(watchlist, ALICE) == ["r101"]
    assert found(watchlist, BOB) == ["r102"]
    assert found(watchlist, CAROL) == []


def test_another_finger_of_the_same_person_is_not_that_finger(watchlist: Watchlist, clock: FakeClock) -> None:
    watchlist.add(reference(clock, ALICE), AGREEMENT)
    assert watchlist.search({THUMB: template_of(ALICE, 1, THUMB)}, 5).candidates == ()


def test_two_fingers_count_together(watchlist: Watchlist, clock: FakeClock) -> None:
    both = ((INDEX, template_of(ALICE, 0, INDEX)), (THUMB, template_of(ALICE, 0, THUMB)))
    watchlist.add(Reference("both", "agreement-1", Category.WANTED, clock.now() + timedelta(1), both), AGREEMENT)
    one = watchlist.search({INDEX: template_of(ALICE, 1, INDEX)}, 5).candidates[0]
    two = watchlist.search({INDEX: template_of(ALICE, 1), THUMB: template_of(ALICE, 1, THUMB)}, 5).candidates[0]
    assert set(two.scores) == {INDEX, THUMB}
    assert two.false_match_rate < one.false_match_rate


def test_every_template_that_a_probe_is_compared_with_is_one_more_chance_of_a_false_match(
    watchlist: Watchlist, clock: FakeClock
) -> None:
    """A search returns the best of them: one similar template of ten means less than one of one."""
    watchlist.add(reference(clock, ALICE), AGREEMENT)
    non_mated = tuple((INDEX, template_of(seed, 0, INDEX)) for seed in range(200, 209))
    mine = ((INDEX, template_of(ALICE, 0, INDEX)), *non_mated)
    watchlist.add(Reference("ten", "agreement-1", Category.WANTED, clock.now() + timedelta(1), mine), AGREEMENT)
    one, ten = watchlist.search({INDEX: template_of(ALICE, 1)}, 5).candidates
    assert (one.reference_id, ten.reference_id) == ("r101", "ten")
    assert ten.scores == one.scores
    assert ten.false_match_rate == pytest.approx(10 * one.false_match_rate, rel=0.01)


def test_a_finger_that_a_reference_does_not_have_is_not_counted(watchlist: Watchlist, clock: FakeClock) -> None:
    """A traveller who presents more fingers than are on the list is found as if only those had been requested."""
    watchlist.add(reference(clock, ALICE), AGREEMENT)
    watchlist.add(reference(clock, ALICE + 50, position=THUMB), AGREEMENT)  # thumbs can be searched, but not Alice's
    one = watchlist.search({INDEX: template_of(ALICE, 1)}, 5).candidates[0]
    two = watchlist.search({INDEX: template_of(ALICE, 1), THUMB: template_of(ALICE, 1, THUMB)}, 5).candidates[0]
    assert (one.reference_id, two.reference_id) == ("r101", "r101")
    assert two.false_match_rate == one.false_match_rate


def test_a_finger_that_differs_counts_against_a_reference_that_has_it(watchlist: Watchlist, clock: FakeClock) -> None:
    both = ((INDEX, template_of(ALICE, 0, INDEX)), (THUMB, template_of(BOB, 0, THUMB)))
    watchlist.add(Reference("both", "agreement-1", Category.WANTED, clock.now() + timedelta(1), both), AGREEMENT)
    one = watchlist.search({INDEX: template_of(ALICE, 1)}, 5).candidates[0]
    two = watchlist.search({INDEX: template_of(ALICE, 1), THUMB: template_of(ALICE, 1, THUMB)}, 5).candidates[0]
    assert two.false_match_rate > one.false_match_rate


def test_a_presearch_changes_no_result_and_saves_the_search(
    watchlist: Watchlist, clock: FakeClock, mocker: MockerFixture
) -> None:
    watchlist.add(reference(clock, ALICE), AGREEMENT)
    watchlist.add(reference(clock, BOB, position=THUMB), AGREEMENT)
    probes = {INDEX: template_of(ALICE, 1), THUMB: template_of(BOB, 1, THUMB)}
    plain = watchlist.search(probes, 5)
    searched = mocker.spy(FingerGallery, "search")
    watchlist.presearch(INDEX, probes[INDEX])
    watchlist.presearch(INDEX, probes[INDEX])
    assert searched.call_count == 1
    assert watchlist.search(probes, 5) == plain
    assert searched.call_count == 2
    watchlist.search(probes, 5)
    assert searched.call_count == 4  # nothing is kept from one search to the next


class Noted(SearchesFirst):
    """Notes that a search has begun or ended."""

    def __init__(self) -> None:
        super().__init__()
        self.running: list[bool] = []

    @contextmanager
    def search(self) -> Iterator[None]:
        self.running.append(True)
        yield
        self.running.append(False)


def test_while_a_search_or_a_presearch_runs_an_update_waits(
    watchlist: Watchlist, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    watchlist.add(reference(clock, ALICE), AGREEMENT)
    watchlist.in_memory.searches = noted = Noted()
    searched, during = FingerGallery.search, list[bool]()

    def search(self: FingerGallery, probe: Template, position: Position, limit: int) -> list[Scored]:
        during.append(noted.running[-1])
        return searched(self, probe, position, limit)

    monkeypatch.setattr(FingerGallery, "search", search)
    found(watchlist, ALICE)
    watchlist.presearch(INDEX, template_of(BOB, 1))
    assert during == [True, True]
    assert noted.running == [True, False] * 2


def test_a_presearch_is_of_its_probe_and_its_list(watchlist: Watchlist, clock: FakeClock) -> None:
    watchlist.add(reference(clock, ALICE), AGREEMENT)
    watchlist.presearch(INDEX, template_of(CAROL, 1))
    assert found(watchlist, ALICE) == ["r101"]
    watchlist.presearch(INDEX, template_of(BOB, 1))
    watchlist.add(reference(clock, BOB), AGREEMENT)
    assert found(watchlist, BOB) == ["r102"]
    watchlist.presearch(INDEX, template_of(BOB, 1))
    watchlist.remove(["r102"])
    assert found(watchlist, BOB) == []


@pytest.mark.parametrize("change", ["remove", "add", "forget"])
def test_a_presearch_without_a_search_is_not_kept(watchlist: Watchlist, clock: FakeClock, change: str) -> None:
    """Neither the traveller's probe nor a removed reference stays in memory."""
    watchlist.add(reference(clock, ALICE), AGREEMENT)
    watchlist.presearch(INDEX, template_of(ALICE, 1))
    assert in_memory(Presearch)
    changes: dict[str, Callable[[], object]] = {
        "remove": lambda: watchlist.remove(["r101"]),
        "add": lambda: watchlist.add(reference(clock, BOB), AGREEMENT),
        "forget": watchlist.discard_presearches,
    }
    changes[change]()
    assert not in_memory(Presearch)


def in_memory(kind: type) -> list[object]:
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, kind)]


def test_candidates_come_best_first_and_no_more_than_asked_for(watchlist: Watchlist, clock: FakeClock) -> None:
    for seed in (ALICE, BOB, CAROL):
        watchlist.add(reference(clock, seed), AGREEMENT)
    rates = [c.false_match_rate for c in watchlist.search({INDEX: template_of(BOB, 1)}, 2).candidates]
    assert len(rates) == 2
    assert rates == sorted(rates)


def test_it_is_the_same_after_a_restart(path: Path, clock: FakeClock) -> None:
    first = Watchlist(path, clock, key=TEST_KEY)
    first.add(reference(clock, ALICE), AGREEMENT)
    before = first.search({INDEX: template_of(ALICE, 1)}, 5)
    first.close()
    second = Watchlist(path, clock, key=TEST_KEY)
    assert second.search({INDEX: template_of(ALICE, 1)}, 5) == before
    assert second.search({INDEX: template_of(ALICE, 1)}, 5).candidates[0].recipients == {"hub"}
    second.close()


def test_each_change_raises_the_revision_and_age_runs_from_the_last(watchlist: Watchlist, clock: FakeClock) -> None:
    assert (watchlist.state.revision, watchlist.state.age_s) == (0, None)
    watchlist.add(reference(clock, ALICE), AGREEMENT)
    clock.advance(60)
    assert (watchlist.state.revision, watchlist.state.age_s) == (1, 60.0)
    watchlist.remove(["r101"])
    assert (watchlist.state.revision, watchlist.state.age_s) == (2, 60.0)  # taking away confirms nothing


def test_a_clock_that_jumped_back_makes_no_list_younger_than_new(watchlist: Watchlist, clock: FakeClock) -> None:
    watchlist.add(reference(clock, ALICE), AGREEMENT)
    clock.advance(-86_400)
    assert watchlist.state.age_s == 0.0


def test_an_id_is_given_once(watchlist: Watchlist, clock: FakeClock) -> None:
    watchlist.add(reference(clock, ALICE), AGREEMENT)
    with pytest.raises(StoreError, match="already on the list"):
        watchlist.add(reference(clock, ALICE), AGREEMENT)
    assert watchlist.state.revision == 1


def test_several_come_at_once_with_one_revision(watchlist: Watchlist, clock: FakeClock) -> None:
    watchlist.add_all([reference(clock, seed) for seed in (ALICE, BOB)], AGREEMENT)
    assert (found(watchlist, ALICE), found(watchlist, BOB)) == (["r101"], ["r102"])
    assert watchlist.state.revision == 1


@pytest.mark.parametrize("second", [ALICE, CAROL])
def test_of_several_all_come_or_none(watchlist: Watchlist, clock: FakeClock, second: int) -> None:
    watchlist.add(reference(clock, CAROL), AGREEMENT)
    with pytest.raises(StoreError, match=f"reference r{second} is already on the list"):
        watchlist.add_all([reference(clock, ALICE), reference(clock, second)], AGREEMENT)
    assert [r.reference_id for r in watchlist.references()] == ["r103"]


def test_no_reference_changes_nothing(watchlist: Watchlist) -> None:
    watchlist.add_all([], AGREEMENT)
    assert watchlist.state.revision == 0


def test_an_unreadable_template_is_refused_and_nothing_is_stored(watchlist: Watchlist, clock: FakeClock) -> None:
    bad = Template(template_of(ALICE, 0).format, b"invalid")
    with pytest.raises(TemplateError):
        watchlist.add(
            Reference("bad", "agreement-1", Category.WANTED, clock.now() + timedelta(1), ((INDEX, bad),)), AGREEMENT
        )
    assert watchlist.references() == ()
    assert watchlist.state.revision == 0


def _of_version_1(template: Template) -> Template:
    """As earlier releases stored it: the same header and minutiae without what lies between them."""
    data = template.data
    return Template("finger-minutiae/1", data[:3] + b"\1" + data[4:10] + data[1578:])


def _stored_by_an_earlier_release(path: Path, clock: FakeClock, templates: Mapping[str, Template]) -> None:
    with closing(open_store(path, "watchlist", MIGRATIONS[:1], key=TEST_KEY)) as db:
        terms = dict.fromkeys(("provider", "purpose", "legal_basis"), "x") | {"recipients": '["hub"]'}
        db.table("agreement").insert({"id": "agreement-1", **terms})
        for name, template in templates.items():
            expires_at = (clock.now() + timedelta(days=1)).isoformat()
            row = {"agreement": "agreement-1", "category": "wanted", "expires_at": expires_at, "revision": 1}
            db.table("reference").insert({"id": name, **row})
            stored = {"position": str(INDEX), "format": template.format, "data": template.data}
            db.table("template").insert({"reference": name, **stored})


def test_a_list_of_an_earlier_release_is_brought_up_to_date_once(path: Path, clock: FakeClock) -> None:
    old = {f"r{seed}": _of_version_1(template_of(seed, 0)) for seed in (ALICE, BOB)}
    _stored_by_an_earlier_release(path, clock, old)
    for _ in range(2):
        with closing(Watchlist(path, clock, key=TEST_KEY)) as watchlist:
            assert found(watchlist, ALICE) == ["r101"]
            assert found(watchlist, BOB) == ["r102"]
            assert watchlist.state.revision == 0  # nobody came or went
        assert on_disk(path, minutiae_of(ALICE))


def test_a_template_of_an_earlier_release_that_cannot_be_read_is_named(path: Path, clock: FakeClock) -> None:
    _stored_by_an_earlier_release(path, clock, {"r101": Template("finger-minutiae/1", b"invalid")})
    with pytest.raises(TemplateError, match="r101: finger-minutiae/1"):
        Watchlist(path, clock, key=TEST_KEY)


@pytest.mark.parametrize("change", [_of_version_1, lambda t: Template(t.format, t.data[:42] + b"\xff" + t.data[43:])])
def test_a_template_from_elsewhere_is_kept_as_this_release_makes_it(
    path: Path, watchlist: Watchlist, clock: FakeClock, change: Callable[[Template], Template]
) -> None:
    whole = reference(clock, ALICE)
    elsewhere = tuple((position, change(template)) for position, template in whole.templates)
    watchlist.add(replace(whole, templates=elsewhere), AGREEMENT)
    assert on_disk(path, minutiae_of(ALICE))
    assert found(watchlist, ALICE) == ["r101"]


def minutiae_of(seed: int) -> list[bytes]:
    """The minutiae of a person as a block keeps them, in pieces: a block lies on many pages."""
    rows = arrays_of([template_of(seed, 0)]).rows.tobytes()
    return [rows[at : at + 32] for at in range(0, len(rows), 32)]


def on_disk(path: Path, needles: list[bytes]) -> bool:
    pages = pages_of(path, TEST_KEY)
    return any(needle in pages for needle in needles)


def test_an_expired_reference_is_gone_from_memory_and_disk(path: Path, watchlist: Watchlist, clock: FakeClock) -> None:
    watchlist.add(reference(clock, ALICE, keep_s=100), AGREEMENT)
    watchlist.add(reference(clock, BOB, keep_s=1000), AGREEMENT)
    assert on_disk(path, minutiae_of(ALICE))
    clock.advance(100)
    assert found(watchlist, ALICE) == []
    assert found(watchlist, BOB) == ["r102"]
    assert watchlist.expire() == ("r101",)
    assert [r.reference_id for r in watchlist.references()] == ["r102"]
    assert not on_disk(path, minutiae_of(ALICE))
    assert not on_disk(path, [b"r101"])
    assert on_disk(path, minutiae_of(BOB))


def test_what_expired_while_the_kiosk_was_off_is_gone_at_start(path: Path, clock: FakeClock) -> None:
    first = Watchlist(path, clock, key=TEST_KEY)
    first.add(reference(clock, ALICE, keep_s=100), AGREEMENT)
    first.close()
    clock.advance(200)
    second = Watchlist(path, clock, key=TEST_KEY)
    assert second.references() == ()
    assert not on_disk(path, minutiae_of(ALICE))
    second.close()


def test_expiry_does_not_make_an_old_list_young(watchlist: Watchlist, clock: FakeClock) -> None:
    watchlist.add(reference(clock, ALICE, keep_s=100), AGREEMENT)
    clock.advance(200)
    watchlist.expire()
    assert watchlist.state.age_s == 200.0


def test_terms_of_an_agreement_are_not_changed_under_what_is_there(watchlist: Watchlist, clock: FakeClock) -> None:
    watchlist.add(reference(clock, ALICE), AGREEMENT)
    wider = AGREEMENT.model_copy(update={"recipients": ("hub", "another")})
    with pytest.raises(StoreError, match="with other terms"):
        watchlist.add(reference(clock, BOB), wider)
    assert [info.recipients for info in watchlist.references()] == [("hub",)]
    watchlist.remove(["r101"])
    watchlist.add(reference(clock, BOB), wider)
    assert [info.recipients for info in watchlist.references()] == [("hub", "another")]


def test_removing_somebody_who_is_not_there_changes_nothing(watchlist: Watchlist) -> None:
    assert watchlist.remove(["nobody"]) == ()
    assert watchlist.state.revision == 0


def test_what_is_on_the_list_is_known_by_its_id(watchlist: Watchlist, clock: FakeClock) -> None:
    watchlist.add(reference(clock, ALICE), AGREEMENT)
    assert "r101" in watchlist
    assert "r102" not in watchlist


def test_a_store_with_a_page_that_cannot_be_read_is_written_again_with_the_rest(path: Path, clock: FakeClock) -> None:
    with closing(Watchlist(path, clock, key=TEST_KEY)) as watchlist:
        watchlist.add(reference(clock, ALICE), AGREEMENT)
        watchlist.add(reference(clock, BOB), AGREEMENT)
    with open_watchlist_store(path, key=TEST_KEY) as store:
        known = store.load(0).segments[0].segment
        store.commit([store.stage(replace(known, name="police"))], facts={"kept": "1"})
        store._db.execute("UPDATE blob SET data = x'00' WHERE segment = 'police'")
    with closing(Watchlist(path, clock, key=TEST_KEY, providers=True)) as watchlist:
        assert watchlist.in_memory.damaged
        revision = watchlist.state.revision
    rebuild_store(path, watchlist.in_memory, key=TEST_KEY, identity="")
    with closing(Watchlist(path, clock, key=TEST_KEY, providers=True)) as watchlist:
        assert not watchlist.in_memory.damaged
        assert (found(watchlist, ALICE), found(watchlist, BOB)) == (["r101"], ["r102"])
        assert watchlist.state.revision == revision
    with open_watchlist_store(path, key=TEST_KEY) as store:
        assert store.facts()["kept"] == "1"
        assert store.names() == ("local",)
    assert sorted(one.name for one in path.parent.iterdir()) == [path.name]
