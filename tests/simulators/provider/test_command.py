import json
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agent.keys import LIST_DEVELOPMENT_FILE, load_list_key
from agent.watchlist.list_format import Put, line_bytes
from simulators.polling import wait_until
from simulators.provider import command
from simulators.provider.check import Report, check
from simulators.provider.command import app, main, serve
from simulators.provider.errors import ProviderError
from simulators.provider.provider import ListProvider
from simulators.provider.synthetic import EYE_ORDER, crowd
from tests.rigs.lists import list_entry

Run = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "lists"


@pytest.fixture
def run(folder: Path) -> Run:
    """Runs a command in the folder; its output on one line. An error of ours is raised."""

    def ran(name: str, *arguments: object, answer: str = "", status: int = 0) -> str:
        done: Result = CliRunner().invoke(app, [name, str(folder), *map(str, arguments)], input=answer)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == status, done.output
        return " ".join(done.output.split())

    ran("init")
    return ran


@pytest.fixture
def listed(run: Run) -> Run:
    """The same, with three published entries: crowd-1-0000000 and on."""
    run("add", "--persons", 3, "--seed", 1, "--fingers", 0)
    run("publish")
    return run


def agree(run: Run, name: str = "border") -> str:
    terms = ("--purpose", "search", "--legal-basis", "article 1", "--necessity", "N1", "--recipient", "hub")
    return run("agreement", name, *terms)


def ids(folder: Path) -> tuple[str, ...]:
    with ListProvider(folder) as lists:
        return lists.ids()


def test_init_says_what_to_do_with_the_keys(folder: Path, run: Run) -> None:
    text = run("init", "--provider", "police", "--provider", "army", "--threshold", 2)
    assert "list repository of provider, police, army" in text
    assert f"{folder}/root.json" in text
    with ListProvider(folder) as lists:
        assert lists.metadata().allowed("police").threshold == 2


def test_a_crowd_is_added_under_an_agreement_of_its_own(folder: Path, run: Run) -> None:
    assert "3 entries added to the list of provider" in run("add", "--persons", 3, "--seed", 7)
    assert ids(folder) == tuple(f"crowd-7-000000{n}" for n in range(3))
    with ListProvider(folder) as lists:
        assert [terms.id for terms in lists.agreements()] == ["synthetic"]
    assert "1 entry added" in run("add", "--persons", 1, "--seed", 8, "--eyes", 0, "--fingers", 1)


def test_persons_of_the_simulated_sensors_are_added(folder: Path, run: Run) -> None:
    run("add", "--person", 7, "--person", 9, "--fingers", 0, "--eyes", 1)
    assert ids(folder) == ("person-7", "person-9")


def test_template_files_and_folders_of_them_are_added(folder: Path, run: Run, tmp_path: Path) -> None:
    ((_, [(_, code)]),) = crowd(1, 1, EYE_ORDER[:1])
    (tmp_path / "case").mkdir()
    for path in (tmp_path / "case" / "b_left_eye.kic", tmp_path / "a_left_eye.kic"):
        path.write_bytes(code.data)
    files = tmp_path / "case", tmp_path / "a_left_eye.kic"
    with pytest.raises(ProviderError, match="provider has 0 agreements") as caught:
        run("add", *files)
    assert "kiosk-list agreement" in str(caught.value)
    assert "agreement border of provider" in agree(run)
    run("add", *files, "--category", "child_at_risk", "--recipient", "hub", "--instruction", "CALL-9")
    assert ids(folder) == ("a", "b")
    agree(run, "second")
    with pytest.raises(ProviderError, match="say which with --agreement: border, second"):
        run("add", *files)
    run("add", *files, "--agreement", "second")


def test_entries_in_json_are_added(folder: Path, run: Run, tmp_path: Path) -> None:
    agree(run)
    file = tmp_path / "entries.jsonl"
    entries = [json.loads(line_bytes(Put(list_entry(name))))["entry"] for name in ("a", "b")]
    file.write_text("\n\n".join(json.dumps(one) for one in entries) + "\n")
    assert "2 entries added" in run("add", "--entries", file)
    assert ids(folder) == ("a", "b")
    file.write_text(f"{json.dumps(entries[0] | {'reference_id': 'c'})}\n{json.dumps(entries[1] | {'necessity': 1})}\n")
    with pytest.raises(ProviderError, match=r"entries\.jsonl: line 2: necessity: Input should be a valid string"):
        run("add", "--entries", file)
    assert ids(folder) == ("a", "b")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "say what to add, one of"),
        (["--persons", 1, "--person", 7], "say what to add, one of"),
        (["--persons", 1, "--fingers", 0, "--eyes", 0], "needs a finger or an eye"),
        (["--persons", 1, "--instruction", "do it"], "instruction: String should match"),
        (["--persons", 1, "--category", "local_test"], "category: "),
        (["--persons", 1, "--provider", "army"], "there is no provider army"),
        (["--persons", 1, "--agreement", "none"], "provider has no agreement none"),
    ],
)
def test_what_cannot_be_added_is_said(run: Run, arguments: list[object], reason: str) -> None:
    with pytest.raises(ProviderError, match=reason):
        run("add", *arguments)


def test_what_is_published_can_be_verified(folder: Path, listed: Run) -> None:
    text = listed("verify")
    assert "signatures: good; snapshot 2, valid until" in text
    assert "provider: revision 1, 3 entries (6 iris-code/1)" in text
    with pytest.raises(ProviderError, match=r"name the root\.json"):
        CliRunner().invoke(app, ["verify", str(folder / "public")], catch_exceptions=False)
    arguments = ["verify", str(folder / "public"), "--root", str(folder / "root.json")]
    assert CliRunner().invoke(app, arguments).exit_code == 0


def test_a_list_with_a_problem_is_not_good(folder: Path, listed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.provider.check.SHOWN", 1)
    with ListProvider(folder) as lists:
        lists.put_raw("a", b"{}\n")
        lists.put_raw("b", b"{}\n")
        lists.publish()
    text = listed("verify", status=1)
    assert "wrong: snapshot: line 1: op: missing and 3 more" in text


def test_an_empty_list_is_verified(run: Run) -> None:
    assert "provider: nothing published yet" in run("verify")
    run("publish")
    assert "provider: revision 1, 0 entries (no templates)" in run("verify")


def test_entries_that_kiosks_do_not_search_are_counted(folder: Path, run: Run) -> None:
    now = datetime.now(UTC)
    agree(run)
    with ListProvider(folder) as lists:
        lists.agree(lists.agreements()[0].model_copy(update={"review_by": now + timedelta(days=9), "id": "b"}))
        times = {"listed_at": now - timedelta(days=5), "not_before": now - timedelta(days=5)}
        lists.put([list_entry("a", review_by=now - timedelta(days=1), **times)])
        lists.publish()
    assert "0 have expired and 1 lack their review: kiosks do not search them" in run("verify")


def test_entries_are_withdrawn_by_id_or_from_a_file(folder: Path, listed: Run, tmp_path: Path) -> None:
    assert "1 entry withdrawn" in listed("withdraw", "crowd-1-0000000")
    (tmp_path / "ids").write_text("crowd-1-0000001\ncrowd-1-0000002\n")
    assert "2 entries withdrawn" in listed("withdraw", "--file", tmp_path / "ids")
    assert ids(folder) == ()
    with pytest.raises(ProviderError, match="name the entries"):
        listed("withdraw")
    text = listed("publish")
    assert "provider: revision 2, 0 entries" in text
    assert "deltas: 1" in text


def test_entries_are_confirmed(folder: Path, listed: Run) -> None:
    assert "1 entry confirmed" in listed("confirm", "crowd-1-0000000", "--review-days", 200, "--days", 300)
    with ListProvider(folder) as lists:
        due = {one.reference_id: one for one in lists.due(datetime.now(UTC) + timedelta(days=999))}
    assert due["crowd-1-0000000"].review_by > datetime.now(UTC) + timedelta(days=199)
    assert due["crowd-1-0000000"].expires_at > datetime.now(UTC) + timedelta(days=299)


def test_a_review_shows_what_is_due_and_renews_it_when_asked(folder: Path, listed: Run) -> None:
    assert "within 30 days: 0 entries" in listed("review")
    text = listed("review", "--within", 91)
    assert "within 91 days: 3 entries" in text
    assert "crowd-1-0000002 wanted synthetic" in text
    assert "nothing changed" in listed("review", "--within", 91, "--renew", 120, answer="n\n")
    assert "3 entries confirmed" in listed("review", "--within", 91, "--renew", 120, answer="y\n")
    assert "0 entries" in listed("review", "--within", 91, "--renew", 120, "--yes", "--provider", "provider")
    with ListProvider(folder) as lists:
        assert len(lists.due(datetime.now(UTC) + timedelta(days=121))) == 3


def test_a_review_shows_agreements_and_signatures_that_are_due(listed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "SHOWN", 1)
    text = listed("review", "--within", 400)
    assert "provider: agreement synthetic must be reviewed by" in text
    assert "targets: its signature is valid until" in text
    assert "and 2 more" in text


def test_only_the_timestamp_is_signed_and_for_how_long_is_chosen(folder: Path, listed: Run) -> None:
    text = listed("publish", "--only-timestamp", "--timestamp-hours", 1)
    assert "timestamp signed" in text
    assert "no list" not in text
    with ListProvider(folder) as lists:
        assert lists.metadata().timestamp().expires < datetime.now(UTC) + timedelta(hours=1)
    assert "no list has changed" in listed("publish")
    assert "revision 2" in listed("publish", "--force", "--keep-hours", 0)


def test_keys_are_shown_and_replaced(folder: Path, listed: Run, tmp_path: Path) -> None:
    assert "provider 1 1 yes" in listed("keys")
    assert "provider: new keys" in listed("keys", "--replace", "provider")
    (tmp_path / "stick").mkdir()
    (folder / "keys" / "provider-2.pem").rename(tmp_path / "stick" / "key.pem")
    assert "provider 1 1 no" in listed("keys")
    assert "provider 1 1 yes" in listed("keys", "--keys", tmp_path / "stick")
    with pytest.raises(ProviderError, match="provider is signed with 1 of its 1 keys"):
        listed("publish", "--force")
    listed("publish", "--force", "--keys", tmp_path / "stick", "--keys", folder / "keys")


def test_serve_needs_a_repository_and_a_whole_certificate(listed: Run, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="a certificate and its key go together"):
        listed("serve", "--certificate", folder / "root.json")
    with pytest.raises(ProviderError, match="is no list repository"):
        CliRunner().invoke(app, ["serve", str(tmp_path)], catch_exceptions=False)


def test_serve_answers_until_it_is_interrupted(folder: Path, listed: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    certificate, reports = folder / "tls" / "certificate.pem", list[Report]()

    def ask() -> None:
        try:
            assert wait_until(lambda: answers(port), 30)
            tls = ssl.create_default_context(cafile=certificate)
            root = (folder / "root.json").read_bytes()
            reports.append(check(f"https://127.0.0.1:{port}/", root, datetime.now(UTC), tls=tls))
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    asking = threading.Thread(target=ask)
    asking.start()
    serve(folder, port=port)
    asking.join()
    assert reports[0].good
    assert reports[0].lists[0].entries == 3


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return bool(probe.connect_ex(("127.0.0.1", port)) == 0)


def test_a_file_that_is_no_certificate_is_named(folder: Path, listed: Run) -> None:
    with pytest.raises(ProviderError, match=r"root\.json: is no certificate"):
        listed("verify", "--ca", folder / "root.json")


def test_an_error_ends_with_its_text_and_status_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kiosk-list", "publish", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"error: .*: is no list repository"):
        main()
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", ["kiosk-list", "init", str(tmp_path / "file" / "x")])
    with pytest.raises(SystemExit, match="Not a directory"):
        main()


# -- kiosks that may read


def kiosks(folder: Path, name: str, *arguments: object) -> str:
    done = CliRunner().invoke(app, ["kiosks", name, str(folder), *map(str, arguments)], catch_exceptions=False)
    return " ".join(done.output.split())


def test_a_list_is_encrypted_for_the_kiosks_that_are_added(folder: Path, listed: Run, tmp_path: Path) -> None:
    assert kiosks(folder, "list") == "none: the lists are not encrypted"
    keys = [load_list_key(tmp_path / name, {}) for name in ("a", "b")]
    files = [tmp_path / f"kiosk-{n}.jwk" for n in (1, 2)]
    for file, key in zip(files, keys, strict=True):
        file.write_text(json.dumps(key.public()))
    text = kiosks(folder, "add", *files)
    assert f"kiosk-1: may read, key {keys[0].key_id} compare it with `kiosk-agent keys --list` at the kiosk" in text
    assert kiosks(folder, "list").split()[2:] == ["kiosk-1", keys[0].key_id, "kiosk-2", keys[1].key_id]
    text = listed("publish")
    assert "encrypted for 2 kiosks" in text
    assert "WARNING" not in text
    assert "kiosk-2: removed; publish this" in kiosks(folder, "remove", "kiosk-2")
    assert "encrypted for 1 kiosk" in listed("publish")
    assert "revision 3, entries not read (--list-key), encrypted for 1 kiosk" in listed("verify")
    text = listed("verify", "--list-key", tmp_path / "a" / LIST_DEVELOPMENT_FILE)
    assert "revision 3, 3 entries (6 iris-code/1), encrypted for 1 kiosk" in text


def test_a_kiosk_may_have_another_name_than_its_file(folder: Path, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "key of kiosk 1.jwk"
    file.write_text(json.dumps(load_list_key(tmp_path / "a", {}).public()))
    with pytest.raises(ProviderError, match="is no name of a kiosk"):
        kiosks(folder, "add", file)
    with pytest.raises(ProviderError, match="--name goes with one FILE"):
        kiosks(folder, "add", file, file, "--name", "kiosk-1")
    assert "kiosk-1: may read" in kiosks(folder, "add", file, "--name", "kiosk-1")
    file.write_bytes(bytes(1 << 20))
    with pytest.raises(ProviderError, match="the key of kiosk-2 is not a public key"):
        kiosks(folder, "add", file, "--name", "kiosk-2")


def test_publish_warns_loudly_that_a_list_is_readable(listed: Run) -> None:
    assert "WARNING: the lists are not encrypted: whoever has this folder" in listed("publish", "--force")
    assert "WARNING" not in listed("publish", "--only-timestamp")
