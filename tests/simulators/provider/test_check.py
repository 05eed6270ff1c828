import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.distribution.refusal import UpdateRefused
from agent.keys import ListKey
from agent.watchlist.list_format import Confirm, Put, Withdraw, line_bytes, pack_lines
from simulators.provider import check as module
from simulators.provider.check import Report, check
from simulators.provider.provider import ListProvider
from tests.rigs.lists import LISTED, agreement_terms, list_entry


@pytest.fixture
def lists(tmp_path: Path) -> Iterator[ListProvider]:
    with ListProvider.init(tmp_path / "lists", ["police"], now=LISTED) as made:
        made.agree(agreement_terms())
        yield made


def checked(lists: ListProvider, days: float = 0) -> Report:
    return check(str(lists.public), lists.root_bytes(), LISTED + timedelta(days=days))


def problems(lists: ListProvider) -> list[str]:
    (report,) = checked(lists).lists
    assert not checked(lists).good
    return report.problems


def replace(lists: ListProvider, name: str, data: bytes) -> None:
    """Sign another content for a target: what a provider with a faulty program might publish."""
    signed = lists.metadata(LISTED)
    targets = signed.targets("police").targets
    target = targets[f"police/{name}"]
    target.length, target.hashes = len(data), {"sha256": hashlib.sha256(data).hexdigest()}
    (lists.public / "targets" / target.get_prefixed_paths()[0]).write_bytes(data)
    signed.set_targets("police", targets.values())
    signed.finish()


def part_of(*lines: Put | Withdraw | Confirm) -> bytes:
    (data,) = pack_lines(map(line_bytes, lines))
    return data


def manifest_of(lists: ListProvider) -> dict[str, object]:
    (path,) = (lists.public / "targets").rglob("*.manifest.json")
    content: dict[str, object] = json.loads(path.read_bytes())
    return content


def test_a_good_repository_is_described(lists: ListProvider) -> None:
    lists.put([list_entry("a"), list_entry("b", review_by=LISTED + timedelta(hours=1))])
    lists.put([list_entry("c", expires_at=LISTED + timedelta(hours=2))])
    lists.publish(now=LISTED)
    steps = []
    root = lists.root_bytes()
    report = check(str(lists.public), root, LISTED + timedelta(hours=3), step=lambda *one: steps.append(one))
    (found,) = report.lists
    assert report.good
    assert report.refreshed.signed_at == LISTED
    assert (found.provider, found.revision, found.published_at, found.entries) == ("police", 1, LISTED, 3)
    assert found.templates == {"finger-minutiae/1": 3, "iris-code/1": 3}
    assert (found.expired, found.unreviewed) == (1, 1)
    assert steps == [("police: snapshot", 0, 1), ("police: snapshot", 1, 1)]


def test_a_list_that_is_not_published_yet_has_no_revision(lists: ListProvider) -> None:
    (found,) = checked(lists).lists
    assert (found.revision, found.problems) == (0, [])


def test_deltas_lead_to_the_snapshot(lists: ListProvider) -> None:
    lists.put([list_entry(f"a-{n}") for n in range(100)])
    lists.publish(now=LISTED)
    lists.withdraw(["a-1"])
    lists.confirm(["a-2"], LISTED + timedelta(days=77))
    lists.put([list_entry("new")])
    lists.publish(now=LISTED)
    (found,) = checked(lists).lists
    assert (found.problems, found.deltas) == ([], 1)
    wrong = (
        Withdraw("a-2"), Confirm("a-2", LISTED), Confirm("a-1", LISTED), Put(list_entry("a-3", instruction="STOP")),
        Put(list_entry("none")),
    )  # fmt: skip
    replace(lists, "parts/1-2-000.part", part_of(*wrong))
    assert problems(lists) == [
        f"{name}: the changes since revision 1 say another thing than the snapshot"
        for name in ("a-2", "a-2", "a-1", "a-3", "none")
    ]


def test_lines_that_a_kiosk_would_refuse_are_named(lists: ListProvider) -> None:
    lists.put([list_entry("a")])
    lists.put_raw("b", b'{"op":"put","entry":{"reference_id":"b"}}\n')
    lists.publish(now=LISTED)
    (found,) = problems(lists)
    assert found.startswith("snapshot: b: agreement: missing")


def test_what_contradicts_itself_in_a_snapshot_is_named(lists: ListProvider) -> None:
    lists.put([list_entry("a")])
    lists.publish(now=LISTED)
    lines = (Put(list_entry("a")), Put(list_entry("a")), Withdraw("b"), Put(list_entry("c", agreement="none")))
    replace(lists, "parts/1-000.part", part_of(*lines))
    assert problems(lists) == [
        "a: is there twice",
        "b: a snapshot must not have the operation withdraw",
        "c: there is no agreement none",
        "the snapshot does not have as many entries or templates as the manifest says",
    ]


def test_many_problems_are_counted(lists: ListProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHOWN", 2)
    for n in range(5):
        lists.put_raw(f"{n}", b"{}\n")
    lists.publish(now=LISTED)
    (found,) = checked(lists).lists
    assert (len(found.problems), found.more_problems) == (2, 3)


def test_agreements_that_cannot_be_used_or_are_overdue_are_named(lists: ListProvider) -> None:
    lists.agree(agreement_terms("old", review_by=LISTED - timedelta(days=1)))
    lists.publish(now=LISTED)
    assert problems(lists) == ["agreement old: its review was due on 2026-11-28"]
    content = manifest_of(lists)
    content["agreements"] = [{"id": "none"}]
    replace(lists, "manifest.json", json.dumps(content).encode())
    assert problems(lists)[0].startswith("agreement none: provider: missing")


def test_a_manifest_of_another_provider_or_none_is_a_problem(lists: ListProvider) -> None:
    lists.publish(now=LISTED)
    content = manifest_of(lists)
    replace(lists, "manifest.json", json.dumps(content | {"provider": "army", "agreements": []}).encode())
    assert problems(lists) == ["the manifest is of army"]
    replace(lists, "manifest.json", b"{}")
    assert problems(lists) == [
        "the manifest is not of the format kiosk-list/1: this release of the kiosk cannot read it"
    ]


def test_a_part_that_is_not_the_signed_one_is_a_problem_of_its_list(lists: ListProvider) -> None:
    lists.put([list_entry("a")])
    lists.publish(now=LISTED)
    (path,) = (lists.public / "targets").rglob("*.part")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    (problem,) = problems(lists)
    assert "not the one that is signed" in problem
    path.unlink()
    (problem,) = problems(lists)
    assert "does not have a file" in problem


def test_a_repository_that_a_kiosk_refuses_is_refused(lists: ListProvider) -> None:
    with pytest.raises(UpdateRefused, match="expired"):
        checked(lists, days=3)
    with ListProvider.init(lists.folder / "other", ["police"], now=LISTED) as other, pytest.raises(UpdateRefused):
        check(str(lists.public), other.root_bytes(), LISTED)


# -- lists that are encrypted

ONE, TWO = (ListKey(X25519PrivateKey.from_private_bytes(bytes([n]) * 32)) for n in (1, 2))


def encrypted(lists: ListProvider) -> None:
    lists.add_readers([("one", json.dumps(ONE.public()).encode())])
    lists.put([list_entry("a")])
    lists.publish(now=LISTED)


def test_the_entries_of_an_encrypted_list_are_read_with_the_list_key_of_a_kiosk(lists: ListProvider) -> None:
    encrypted(lists)
    (found,) = check(str(lists.public), lists.root_bytes(), LISTED, list_key=ONE).lists
    assert (found.entries, found.readers, found.unread, found.problems) == (1, 1, False, [])
    (found,) = check(str(lists.public), lists.root_bytes(), LISTED, list_key=TWO).lists
    assert "is not encrypted for this kiosk" in found.problems[0]


def test_without_a_list_key_all_signatures_are_checked(lists: ListProvider) -> None:
    encrypted(lists)
    (found,) = checked(lists).lists
    assert (found.revision, found.entries, found.readers, found.unread, found.problems) == (1, 0, 1, True, [])
    (path,) = (lists.public / "targets").rglob("*.part")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert "not the one that is signed" in problems(lists)[0]
