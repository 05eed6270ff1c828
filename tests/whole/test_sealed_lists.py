"""Encrypted lists from the provider to the search of a kiosk: read by the kiosks that are named, and by nobody else."""

import base64
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from joserfc.jwk import OKPKey
from tuf.api.metadata import TargetFile

from agent.events.event import ListReportKind
from agent.keys import ListKey
from agent.watchlist.list_format import Delta, Put, Withdraw, parse_manifest, write_manifest, write_parts
from agent.watchlist.sealed_parts import KEYS, SealPolicy, new_content_key, seal_part, write_keys
from simulators.provider.provider import ListProvider
from tests.conftest import FakeClock
from tests.rigs.list_keeper import KeeperRig, entry_of, make_provider

ALICE, BOB, CAROL = 101, 102, 103
ONE, TWO, STRANGER = (ListKey(X25519PrivateKey.from_private_bytes(bytes([n]) * 32)) for n in (1, 2, 3))
NOT_FOR_US = (
    "the list of police is not encrypted for this kiosk: give the provider the output of `kiosk-agent keys --list`"
)
Start = Callable[..., KeeperRig]


def jwk(key: ListKey) -> bytes:
    return json.dumps(key.public()).encode()


@pytest.fixture(name="lists")
def _lists(tmp_path: Path, clock: FakeClock) -> Iterator[ListProvider]:
    """A list of two persons, published encrypted for the kiosks one and two."""
    with make_provider(tmp_path / "lists", clock) as lists:
        lists.put([entry_of(ALICE, clock.now()), entry_of(BOB, clock.now())])
        lists.add_readers([("one", jwk(ONE)), ("two", jwk(TWO))])
        lists.publish(now=clock.now())
        yield lists


@pytest.fixture(name="start")
def _start(tmp_path: Path, clock: FakeClock, lists: ListProvider) -> Iterator[Start]:
    """Starts a kiosk with this list key."""
    with ExitStack() as running:

        def start(key: ListKey | None, *, required: bool = False) -> KeeperRig:
            folder = tmp_path / f"kiosk-{key.key_id if key else 'none'}"
            seal = SealPolicy(key, required)
            rig = KeeperRig(folder, str(lists.public), lists.root_bytes(), clock, seal=seal)
            return running.enter_context(rig)

        yield start


def published(lists: ListProvider, name: str) -> bytes:
    """The newest content of a target."""
    target = lists.metadata().targets("police").targets[f"police/{name}"]
    return (lists.public / "targets" / target.get_prefixed_paths()[0]).read_bytes()


def sign(lists: ListProvider, clock: FakeClock, files: dict[str, bytes]) -> None:
    """Sign other targets: what a provider with another program might publish."""
    signed = lists.metadata(clock.now())
    targets = signed.targets("police").targets
    for name, data in files.items():
        target = TargetFile(len(data), {"sha256": hashlib.sha256(data).hexdigest()}, f"police/{name}")
        (lists.public / "targets" / target.get_prefixed_paths()[0]).write_bytes(data)
        targets[target.path] = target
    signed.set_targets("police", targets.values())
    signed.finish()


def test_the_kiosks_that_are_named_find_the_listed_traveller(start: Start, lists: ListProvider) -> None:
    for kiosk in (start(ONE), start(TWO, required=True)):
        assert kiosk.keeper.check() == {"police": "revision 1, 2 references: 2 new, 0 removed"}
        assert (kiosk.found(ALICE), kiosk.found(CAROL)) == (["p101"], [])
        assert kiosk.keeper.check() == {"police": "nothing new"}
    assert parse_manifest(published(lists, "manifest.json")).sealed


def test_another_kiosk_says_what_to_do_and_tells_the_hub(start: Start) -> None:
    kiosk = start(STRANGER)
    assert kiosk.keeper.check() == {"police": NOT_FOR_US}
    assert kiosk.keeper.problems == {"police": NOT_FOR_US}
    (report,) = kiosk.reports()
    assert (report.kind, report.detail) == (ListReportKind.REFUSED, NOT_FOR_US)
    assert kiosk.watchlist.search({}, 5).list_incomplete


def test_a_process_without_the_list_key_refuses_and_says_who_has_it(start: Start) -> None:
    refusal = {"police": "the list of police is encrypted, and only the daemon has the list key"}
    assert start(None).keeper.check() == refusal


def test_each_revision_has_its_own_content_key_and_deltas_open_with_it(
    start: Start, lists: ListProvider, clock: FakeClock
) -> None:
    kiosk, late = start(ONE), start(TWO)
    kiosk.keeper.check()
    first = published(lists, "parts/1-000.part")
    lists.put([entry_of(CAROL, clock.now())])
    lists.publish(now=clock.now())
    kiosk.keeper.check()
    lists.withdraw(["p102"])
    lists.publish(now=clock.now())
    kiosk.keeper.check()
    assert [kiosk.found(seed) for seed in (ALICE, BOB, CAROL)] == [["p101"], [], ["p103"]]
    newest = published(lists, "parts/3-000.part"), published(lists, "parts/2-3-000.part")
    headers = [base64.urlsafe_b64decode(part.split(b".")[0] + b"==") for part in (first, *newest)]
    assert headers[0] != headers[1] == headers[2]
    late.keeper.check()
    assert [late.found(seed) for seed in (ALICE, BOB, CAROL)] == [["p101"], [], ["p103"]]


def test_deltas_of_older_revisions_under_older_content_keys_open(
    start: Start, lists: ListProvider, clock: FakeClock
) -> None:
    """As a provider may publish whose deltas lead from revision to revision, and are not made again."""
    kiosk = start(ONE)
    kiosk.keeper.check()
    keys = [new_content_key(), new_content_key()]
    lines: list[Put | Withdraw] = [Put(entry_of(CAROL, clock.now())), Withdraw("p102")]
    files, deltas = dict[str, bytes](), list[Delta]()
    for revision, (line, key) in enumerate(zip(lines, keys, strict=True), 2):
        (part,) = write_parts([line])
        name = f"parts/{revision}.part"
        files[name] = seal_part(part, key)
        deltas.append(
            Delta(
                from_revision=revision - 1,
                to_revision=revision,
                parts=(name,),
                entries=1,
                templates={},
                bytes=len(zlib.decompress(part)),
            )
        )
    before = parse_manifest(published(lists, "manifest.json"))
    files["manifest.json"] = write_manifest(before.model_copy(update={"revision": 3, "deltas": tuple(deltas)}))
    files[KEYS] = write_keys(keys, [OKPKey.import_key(ONE.jwk.as_dict(private=False))])
    sign(lists, clock, files)
    assert kiosk.keeper.check() == {"police": "revision 3, 2 references: 1 new, 1 removed"}
    assert [kiosk.found(seed) for seed in (ALICE, BOB, CAROL)] == [["p101"], [], ["p103"]]


def test_a_kiosk_that_was_removed_reads_nothing_more_and_its_last_list_serves_on(
    start: Start, lists: ListProvider, clock: FakeClock
) -> None:
    stays, goes = start(ONE), start(TWO)
    for kiosk in (stays, goes):
        kiosk.keeper.check()
    lists.remove_readers(["two"])
    (done,) = lists.publish(now=clock.now())  # nothing else has changed
    assert (done.revision, done.readers) == (2, 1)
    assert stays.keeper.check() == {"police": "revision 2, 2 references: 0 new, 0 removed"}
    assert goes.keeper.check() == {"police": NOT_FOR_US}
    assert goes.found(ALICE) == ["p101"]
    goes.restart()
    assert (goes.found(ALICE), goes.keeper.check()) == (["p101"], {"police": NOT_FOR_US})


def test_a_kiosk_that_was_added_reads_the_next_publication(start: Start, lists: ListProvider, clock: FakeClock) -> None:
    kiosk = start(STRANGER)
    assert kiosk.keeper.check() == {"police": NOT_FOR_US}
    lists.add_readers([("three", jwk(STRANGER))])
    lists.publish(now=clock.now())
    assert kiosk.keeper.check() == {"police": "revision 2, 2 references: 2 new, 0 removed"}
    assert kiosk.keeper.problems == {}


def test_an_altered_part_is_refused_and_the_last_list_serves_on(
    start: Start, lists: ListProvider, clock: FakeClock
) -> None:
    kiosk = start(ONE)
    kiosk.keeper.check()
    lists.put([entry_of(CAROL, clock.now())])
    lists.publish(now=clock.now())
    for path in (lists.public / "targets").rglob("*.part"):
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert "not the one that is signed" in kiosk.keeper.check()["police"]
    assert (kiosk.found(ALICE), kiosk.found(CAROL)) == (["p101"], [])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"x", "not encrypted as its manifest says"),
        (zlib.compress(b"{}"), "not encrypted as its manifest says"),
        (seal_part(b"x", new_content_key()), "with a key that is not among those of the list"),
    ],
)
def test_a_signed_part_that_is_not_encrypted_as_it_should_be_is_refused(
    start: Start, lists: ListProvider, clock: FakeClock, data: bytes, reason: str
) -> None:
    sign(lists, clock, {"parts/1-000.part": data})
    assert reason in start(ONE).keeper.check()["police"]


def test_keys_that_are_missing_too_large_or_damaged_are_refused(
    start: Start, lists: ListProvider, clock: FakeClock
) -> None:
    kiosk = start(ONE)
    for data, reason in ((bytes(5 << 20), "at most 4194304 are read"), (b"{}", "not a JWE with the keys of a list")):
        sign(lists, clock, {KEYS: data})
        assert reason in kiosk.keeper.check()["police"]
    signed = lists.metadata(clock.now())
    others = [one for one in signed.targets("police").targets.values() if not one.path.endswith(KEYS)]
    signed.set_targets("police", others)
    signed.finish()
    assert "keys.json is not signed by police" in kiosk.keeper.check()["police"]


def test_a_kiosk_that_requires_it_refuses_a_list_that_is_not_encrypted(tmp_path: Path, clock: FakeClock) -> None:
    with make_provider(tmp_path / "readable", clock) as lists:
        lists.put([entry_of(ALICE, clock.now())])
        lists.publish(now=clock.now())
        for required, found in ((True, []), (False, ["p101"])):
            with KeeperRig(
                tmp_path / f"kiosk-{required}", str(lists.public), lists.root_bytes(), clock,
                seal=SealPolicy(ONE, required),
            ) as kiosk:  # fmt: skip
                kiosk.keeper.check()
                assert kiosk.found(ALICE) == found
                assert ("watchlist.require_sealed" in kiosk.keeper.problems.get("police", "")) == required


# -- what a finder of the stick sees


WANTED = "wanted-4711-of-the-ministry"


def forms(data: bytes) -> Iterator[bytes]:
    """A file as it is, unpacked, and without the base64 of a JWE."""
    yield data
    with suppress(zlib.error):
        yield zlib.decompress(data)
    with suppress(ValueError):  # it is none, or its fourth segment is not base64
        _, _, _, ciphertext, _ = data.split(b".")
        yield base64.urlsafe_b64decode(ciphertext + b"==")


def shows(folder: Path, now: datetime) -> bool:
    """Whether a file of a folder has the template or the reference id of the wanted person."""
    template = entry_of(ALICE, now).templates[0].data
    pieces = [WANTED.encode(), template[:24], base64.b64encode(template)[:40]]
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return any(piece in form for data in files for form in forms(data) for piece in pieces)


def test_nothing_of_a_template_is_readable_in_what_is_published(lists: ListProvider, clock: FakeClock) -> None:
    lists.put([entry_of(ALICE, clock.now(), reference_id=WANTED)])
    lists.withdraw(["p102"])
    lists.publish(now=clock.now())
    assert not shows(lists.public, clock.now())


def test_without_kiosks_everything_is_readable_until_the_first_one_is_added(tmp_path: Path, clock: FakeClock) -> None:
    with make_provider(tmp_path / "lists", clock) as lists:
        lists.put([entry_of(ALICE, clock.now(), reference_id=WANTED)])
        lists.publish(now=clock.now())
        assert shows(lists.public, clock.now())
        assert b"sealed" not in published(lists, "manifest.json")
        lists.add_readers([("one", jwk(ONE))])
        lists.publish(now=clock.now())
        assert not shows(lists.public, clock.now())  # nor the files of before
