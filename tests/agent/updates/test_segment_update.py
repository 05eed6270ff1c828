"""From a provider's manifest and parts to a segment: what is applied, refused by name, kept, or refused as a whole."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from joserfc.jwk import OKPKey

from agent.distribution.refusal import UpdateUnreachable
from agent.distribution.repository import PartInfo
from agent.keys import ListKey
from agent.storage import free_space
from agent.storage.free_space import TooLittleDisk, TooLittleMemory
from agent.updates import segment_update
from agent.updates.segment_update import Applied, ListUpdate, Refusals, changes_to
from agent.watchlist.list_format import (
    AgreementTerms,
    Confirm,
    Delta,
    ListEntry,
    ListFormatError,
    ListTemplate,
    Manifest,
    Put,
    Snapshot,
    Withdraw,
    count_templates,
    pack_lines,
    write_manifest,
    write_parts,
)
from agent.watchlist.reference import ReferenceInfo
from agent.watchlist.sealed_parts import KEYS, KEYS_BYTES, SealPolicy, new_content_key, seal_part, write_keys
from agent.watchlist.store import StoredSegment, WatchlistStore, open_watchlist_store
from agent.watchlist.table import seconds_of
from models.exchange.to_templates import RecordTemplates
from tests.rigs.list_keeper import DAY, INDEX, entry_of, terms_of
from tests.rigs.lists import LISTED
from tests.rigs.store_key import TEST_KEY

A, B, C = (f"p{seed}" for seed in (1, 2, 3))
Line = Put | Withdraw | Confirm
LIST_KEY = ListKey(X25519PrivateKey.from_private_bytes(bytes([7]) * 32))
CONTENT_KEY = new_content_key()


class Parts:
    """A source of parts whose signatures were checked: PartSource."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.fetched: list[str] = []

    def target_info(self, _: str, name: str) -> PartInfo:
        data = self.files[name]
        return PartInfo(len(data), hashlib.sha256(data).hexdigest())

    def fetch_part(self, _: str, name: str) -> bytes:
        self.fetched.append(name)
        return self.files[name]


class Lists:
    """The kiosk's side of one provider, and what the provider sends."""

    def __init__(self, folder: Path, store: WatchlistStore) -> None:
        self.folder, self.store, self.source = folder, store, Parts()
        self.seal = SealPolicy()
        self.here: StoredSegment | None = None
        self.agreements: tuple[AgreementTerms, ...] = (terms_of("police", LISTED),)
        self.steps = 0

    def part(self, name: str, lines: Iterable[Line] = (), *, raw: bytes = b"", sealed: bool = False) -> str:
        """A part under parts/NAME."""
        (data,) = pack_lines([raw]) if raw else write_parts(lines)
        self.source.files[f"parts/{name}"] = seal_part(data, CONTENT_KEY) if sealed else data
        return f"parts/{name}"

    def snapshot(self, revision: int, *entries: ListEntry, **more: object) -> Snapshot:
        name = self.part(f"s{revision}", [Put(entry) for entry in entries]) if entries else ""
        fields = {"parts": (name,) if name else (), "entries": len(entries), "bytes": 1000}
        counts = dict(count_templates(entries))
        return Snapshot.model_validate(fields | {"templates": counts, "revision": revision} | more)

    def delta(self, since: int, *lines: Line, size: int = 10) -> Delta:
        name = self.part(f"d{since}", lines)
        return Delta(
            parts=(name,), entries=len(lines), templates={}, bytes=size, from_revision=since, to_revision=since + 1
        )

    def manifest(self, snapshot: Snapshot, *deltas: Delta, sealed: bool = False) -> Manifest:
        revision = max([snapshot.revision, *(delta.to_revision for delta in deltas)])
        return Manifest(
            provider="police",
            revision=revision,
            published_at=LISTED,
            agreements=self.agreements,
            snapshot=snapshot,
            deltas=deltas,
            sealed=sealed,
        )

    def apply(self, manifest: Manifest) -> Applied:
        """Apply a manifest as it comes, as bytes, and keep the result as what is here."""
        update = ListUpdate(self.store, self.source, "police", RecordTemplates(), self._step, seal=self.seal)
        applied = update.apply(update.read_manifest(write_manifest(manifest)), self.here, seconds_of(LISTED))
        self.store.commit([applied.stored])
        self.here = applied.stored
        return applied

    def load(self, *entries: ListEntry) -> Applied:
        """Apply a snapshot of revision 1."""
        return self.apply(self.manifest(self.snapshot(1, *entries)))

    def change(self, *lines: Line) -> Applied:
        """Apply a delta to what is here."""
        assert self.here is not None
        since = self.here.segment.revision
        return self.apply(self.manifest(self.snapshot(1, bytes=1000), self.delta(since, *lines)))

    def info(self, reference_id: str) -> ReferenceInfo:
        assert self.here is not None
        (found,) = (
            one for one in self.here.segment.table.infos(seconds_of(LISTED)) if one.reference_id == reference_id
        )
        return found

    @property
    def ids(self) -> list[str]:
        assert self.here is not None
        return sorted(self.here.segment.table.ids)

    def _step(self) -> None:
        self.steps += 1


@pytest.fixture(name="lists")
def _lists(tmp_path: Path) -> Iterator[Lists]:
    with open_watchlist_store(tmp_path / "watchlist.db", key=TEST_KEY) as store:
        yield Lists(tmp_path, store)


def person(seed: int, **changed: object) -> ListEntry:
    return entry_of(seed, LISTED, **changed)


def refusals(applied: Applied) -> dict[str, str]:
    return {one.reference_id: one.reason for one in applied.refused}


def test_a_snapshot_becomes_a_segment_that_is_the_same_when_it_is_read_from_the_disk(lists: Lists) -> None:
    applied = lists.load(person(1), person(2))
    assert (applied.previous_revision, applied.added, applied.withdrawn, applied.refused_count) == (0, 2, (), 0)
    assert lists.steps > 1  # at least after the part was fetched, and after it was read
    (loaded,) = lists.store.load(seconds_of(LISTED)).segments
    assert (loaded.segment.revision, loaded.segment.table.ids) == (1, (A, B))
    assert lists.store.verify("police") == ""


def test_a_snapshot_without_anybody_is_a_list(lists: Lists) -> None:
    assert lists.load().added == 0
    assert lists.ids == []
    assert lists.store.verify("police") == ""


def test_a_snapshot_of_more_than_a_block_is_written_block_by_block(
    lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_update, "BLOCK", 2)
    lists.load(*(person(seed) for seed in range(1, 6)))
    assert lists.here is not None
    assert [len(blobs) for blobs in lists.here.blocks.values()] == [3]
    (loaded,) = lists.store.load(seconds_of(LISTED)).segments
    assert [len(block) for gallery in loaded.segment.galleries.values() for block in gallery.blocks] == [2, 2, 1]


def test_a_delta_adds_replaces_withdraws_and_confirms(lists: Lists) -> None:
    lists.load(person(1), person(2))
    changed = person(2, instruction="H-9")
    applied = lists.change(
        Put(person(3)), Put(changed), Withdraw(A), Confirm(C, LISTED + 9 * DAY), Confirm(B, LISTED + 8 * DAY)
    )
    assert (applied.previous_revision, applied.added, applied.withdrawn) == (1, 1, (A,))
    assert lists.ids == [B, C]
    assert (lists.info(B).instruction, lists.info(B).review_by) == ("H-9", LISTED + 8 * DAY)
    assert (lists.info(C).review_by, lists.info(C).expires_at) == (LISTED + 9 * DAY, LISTED + 100 * DAY)


def test_a_confirmation_of_somebody_who_was_just_added_may_move_the_expiry(lists: Lists) -> None:
    lists.load(person(1))
    lists.change(Put(person(2)), Confirm(B, LISTED + 9 * DAY, LISTED + 20 * DAY))
    assert (lists.info(B).review_by, lists.info(B).expires_at) == (LISTED + 9 * DAY, LISTED + 20 * DAY)


def test_of_two_confirmations_the_second_counts_and_keeps_the_expiry_of_the_first(lists: Lists) -> None:
    lists.load(person(1))
    lists.change(Confirm(A, LISTED + 3 * DAY, LISTED + 20 * DAY), Confirm(A, LISTED + 9 * DAY))
    assert (lists.info(A).review_by, lists.info(A).expires_at) == (LISTED + 9 * DAY, LISTED + 20 * DAY)


def test_the_last_line_about_a_reference_counts(lists: Lists) -> None:
    lists.load(person(1), person(2))
    lists.change(Withdraw(A), Put(person(1, instruction="H-2")), Confirm(B, LISTED + 9 * DAY), Withdraw(B))
    assert lists.ids == [A]
    assert lists.info(A).instruction == "H-2"


@pytest.mark.parametrize("before", [(), (Withdraw(A),)], ids=["never there", "withdrawn"])
def test_a_confirmation_of_somebody_who_is_not_on_the_list_is_refused(lists: Lists, before: tuple[Line, ...]) -> None:
    lists.load(person(1))
    name = A if before else B
    applied = lists.change(*before, Confirm(name, LISTED + 9 * DAY))
    assert refusals(applied) == {name: "confirmed, but not on this list"}


def test_a_line_that_is_refused_removes_the_reference_that_it_names(lists: Lists) -> None:
    """What the provider has replaced must not be searched on, even if the new entry cannot be read."""
    lists.load(person(1), person(2))
    raw = b'{"op":"put","entry":{"reference_id":"%s"}}\n' % A.encode()
    lists.part("d1", raw=raw)
    delta = lists.delta(1, Withdraw("x"))
    lists.part("d1", raw=raw)
    applied = lists.apply(lists.manifest(lists.snapshot(1), delta))
    assert lists.ids == [B]
    assert "necessity: missing" in refusals(applied)[A]
    assert applied.withdrawn == (A,)


def test_a_reference_without_an_agreement_of_this_list_is_refused(lists: Lists) -> None:
    applied = lists.load(person(1), person(2, agreement="none"))
    assert lists.ids == [A]
    assert refusals(applied) == {B: "agreement: the list has no agreement none"}


def test_a_reference_whose_templates_cannot_be_read_is_refused_and_none_of_its_bytes_is_told(lists: Lists) -> None:
    secret = b"not a template"
    applied = lists.load(
        person(1), person(2, templates=(ListTemplate(position=INDEX, format="finger-minutiae/1", data=secret),))
    )
    assert lists.ids == [A]
    assert refusals(applied)[B].startswith("templates: ")
    assert secret.decode() not in refusals(applied)[B]


def test_an_agreement_that_lacks_something_is_told_and_its_entries_are_refused(lists: Lists) -> None:
    snapshot = lists.snapshot(1, person(1))
    data = write_manifest(lists.manifest(snapshot)).replace(b'"keep_days": 365', b'"keep_days": 0')
    update = ListUpdate(lists.store, lists.source, "police", RecordTemplates(), seal=lists.seal)
    applied = update.apply(update.read_manifest(data), None, seconds_of(LISTED))
    assert applied.added == 0
    assert refusals(applied)["treaty"].startswith("agreement: keep_days: ")
    assert refusals(applied)[A] == "agreement: the list has no agreement treaty"


def test_what_stands_under_an_agreement_that_has_ended_is_withdrawn(lists: Lists) -> None:
    other = terms_of("police", LISTED, "second")
    lists.agreements = (*lists.agreements, other)
    lists.load(person(1), person(2, agreement="second"))
    lists.agreements = (other,)
    applied = lists.change(Put(person(3, agreement="second")))
    assert applied.withdrawn == (A,)
    assert lists.ids == [B, C]


def test_a_snapshot_takes_each_reference_once_and_nothing_but_entries(lists: Lists) -> None:
    snapshot = lists.snapshot(1, person(1), person(1))
    lists.part("s1", [Put(person(1)), Put(person(1, instruction="H-2")), Withdraw(A), Confirm(B, LISTED + DAY)])
    applied = lists.apply(lists.manifest(snapshot))
    assert lists.info(A).instruction == "H-1"
    assert [one.reason for one in applied.refused] == ["twice in the list", *["a snapshot has entries only"] * 2]


def test_the_first_hundred_refusals_have_a_name_and_all_are_counted() -> None:
    refused = Refusals()
    for number in range(101):
        refused.add(f"r{number}\x1b[31m" + "x" * 99, "\n" + "y" * 999)
    assert (refused.count, len(refused.named)) == (101, 100)
    one = refused.named[0]
    assert (len(one.reference_id), len(one.reason)) == (64, 200)
    assert (one.reference_id + one.reason).isprintable()


# -- which parts are taken


def test_deltas_are_taken_from_the_revision_that_is_here_and_else_the_snapshot(lists: Lists) -> None:
    snapshot = lists.snapshot(1, person(1))
    deltas = (lists.delta(1, Withdraw(A)), lists.delta(2, Withdraw(B)))
    manifest = lists.manifest(snapshot, *deltas)
    assert changes_to(manifest, None) == (snapshot, deltas)
    assert changes_to(manifest, 1) == (None, deltas)
    assert changes_to(manifest, 2) == (None, deltas[1:])
    assert changes_to(manifest, 3) == (None, ())
    assert changes_to(manifest, 9) == (snapshot, deltas)


def test_deltas_that_are_larger_than_the_snapshot_are_not_taken(lists: Lists) -> None:
    snapshot = Snapshot(parts=(), entries=0, templates={}, bytes=100, revision=2)
    assert changes_to(lists.manifest(snapshot, lists.delta(1, Withdraw(A), size=100)), 1)[0] is None
    assert changes_to(lists.manifest(snapshot, lists.delta(1, Withdraw(A), size=101)), 1) == (snapshot, ())


def test_a_snapshot_leads_on_with_its_deltas(lists: Lists) -> None:
    snapshot = lists.snapshot(1, person(1), person(2))
    applied = lists.apply(lists.manifest(snapshot, lists.delta(1, Withdraw(A)), lists.delta(2, Put(person(3)))))
    assert (applied.stored.segment.revision, lists.ids) == (3, [B, C])


def test_a_part_that_an_interrupted_update_has_fetched_is_not_fetched_again(
    lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = lists.manifest(lists.snapshot(1, person(1)), lists.delta(1, Put(person(2))))
    first = lists.source.fetch_part

    def fail_at_the_second(provider: str, name: str) -> bytes:
        if lists.source.fetched:
            raise UpdateUnreachable("the line is down")
        return first(provider, name)

    with monkeypatch.context() as patch:
        patch.setattr(lists.source, "fetch_part", fail_at_the_second)
        with pytest.raises(UpdateUnreachable, match="the line is down"):
            lists.apply(manifest)
    lists.apply(manifest)
    assert lists.source.fetched == ["parts/s1", "parts/d1"]
    assert lists.ids == [A, B]


def test_a_kept_part_of_the_same_name_and_other_content_is_not_used(lists: Lists) -> None:
    snapshot = lists.snapshot(1, person(1))
    lists.store.keep_part("police", lists.source.target_info("police", "parts/s1").sha256, b"")
    lists.part("s1", [Put(person(2))])
    lists.apply(lists.manifest(snapshot))
    assert lists.ids == [B]


# -- what is refused as a whole, and changes nothing


def test_a_manifest_of_another_provider_is_refused(lists: Lists) -> None:
    lists.agreements = ()
    data = write_manifest(lists.manifest(lists.snapshot(1)).model_copy(update={"provider": "border"}))
    update = ListUpdate(lists.store, lists.source, "police", RecordTemplates(), seal=lists.seal)
    with pytest.raises(ListFormatError, match="the manifest of police is one of border"):
        update.read_manifest(data)


def test_a_list_for_which_there_is_no_room_is_refused_before_anything_is_fetched(
    lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    million = {"finger-minutiae/1": 10**9, "iso19794-6": 10**9}
    manifest = lists.manifest(lists.snapshot(1, person(1), templates=million))
    with pytest.raises(TooLittleMemory, match=r"the list of police needs \d+ MB of memory, and \d+ MB are"):
        lists.apply(manifest)
    monkeypatch.setattr(free_space, "free_memory", lambda: 1 << 60)
    with pytest.raises(TooLittleDisk, match=r"the list of police needs \d+ MB on the disk, and \d+ MB are"):
        lists.apply(manifest)
    assert lists.source.fetched == []


def sealed(lists: Lists, *readers: ListKey) -> Manifest:
    keys = [OKPKey.import_key({name: one.public()[name] for name in ("kty", "crv", "x")}) for one in readers]
    lists.source.files[KEYS] = write_keys([CONTENT_KEY], keys)
    snapshot = lists.snapshot(1, person(1))
    lists.part("s1", [Put(person(1))], sealed=True)
    return lists.manifest(snapshot, sealed=True)


def test_an_encrypted_list_is_opened_with_the_list_key_and_kept_encrypted_until_then(lists: Lists) -> None:
    lists.seal = SealPolicy(LIST_KEY, required=True)
    lists.apply(sealed(lists, LIST_KEY))
    assert lists.ids == [A]
    part = lists.source.files["parts/s1"]
    assert lists.store.part("police", hashlib.sha256(part).hexdigest()) == part


def test_an_encrypted_list_that_this_kiosk_cannot_read_is_refused(lists: Lists) -> None:
    other = ListKey(X25519PrivateKey.generate())
    manifest = sealed(lists, other)
    with pytest.raises(ListFormatError, match="the list of police is encrypted, and only the daemon has the list key"):
        lists.apply(manifest)
    lists.seal = SealPolicy(LIST_KEY)
    with pytest.raises(ListFormatError, match="the list of police is not encrypted for this kiosk"):
        lists.apply(manifest)
    lists.source.files[KEYS] = bytes(KEYS_BYTES + 1)
    lists.source.fetched.clear()
    with pytest.raises(ListFormatError, match=rf"keys\.json has {KEYS_BYTES + 1} bytes; at most"):
        lists.apply(manifest)
    assert lists.source.fetched == []


def test_a_list_that_is_not_encrypted_is_refused_where_the_policy_says_so(lists: Lists) -> None:
    lists.seal = SealPolicy(LIST_KEY, required=True)
    with pytest.raises(ListFormatError, match=r"is not encrypted, and this kiosk takes only"):
        lists.load(person(1))


@pytest.mark.parametrize("data", [b"not zlib", b""])
def test_a_part_that_cannot_be_read_refuses_the_list(lists: Lists, data: bytes) -> None:
    lists.load(person(1))
    manifest = lists.manifest(lists.snapshot(1), lists.delta(1, Put(person(2))))
    lists.source.files["parts/d1"] = data
    with pytest.raises(ListFormatError):
        lists.apply(manifest)
    assert lists.ids == [A]


def test_what_expired_here_and_was_confirmed_before_is_taken_from_the_snapshot(lists: Lists) -> None:
    """The kiosk was away while the provider prolonged the reference, and has deleted it meanwhile."""
    lists.load(entry_of(1, LISTED))
    assert lists.here is not None
    here = lists.here.segment.changed(1, removed=frozenset({A}))
    lists.here = lists.store.stage(here, lists.here)
    lists.store.commit([lists.here])
    longer = entry_of(1, LISTED, expires_at=LISTED + 200 * DAY)
    delta = lists.delta(1, Confirm(A, longer.review_by, longer.expires_at))
    applied = lists.apply(lists.manifest(lists.snapshot(2, longer), delta))
    assert (applied.stored.segment.table.ids, applied.refused) == ((A,), ())


@pytest.mark.parametrize("keep_days", [1, None])
def test_an_agreement_that_allows_more_than_before_takes_the_snapshot(lists: Lists, keep_days: int | None) -> None:
    """What was refused without the agreement, or deleted by its limit, is in no delta."""
    more, lists.agreements = lists.agreements, (terms_of("police", LISTED, keep_days=keep_days or 1),)
    if keep_days is None:
        lists.agreements = (terms_of("police", LISTED, "other"),)
    refused = lists.load(entry_of(1, LISTED)).refused_count
    assert refused == (keep_days is None)
    lists.agreements = more
    both = entry_of(1, LISTED), entry_of(2, LISTED)
    lists.apply(lists.manifest(lists.snapshot(2, *both), lists.delta(1, Put(both[1]))))
    assert lists.source.fetched == ["parts/s1", "parts/s2"]
    assert lists.here is not None
    assert lists.here.segment.table.ids == (A, B)
