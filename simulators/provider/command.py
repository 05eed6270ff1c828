"""kiosk-list: make, sign, check and serve the lists that kiosks search. For tests, technicians and first trials.

It keeps entries and keys in plain files of the account that runs it: it is no product for the data of real people.
"""

import ssl
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from agent.errors import AgentError
from agent.events.event import Category
from agent.keys import load_list_key_file
from agent.watchlist.list_format import AgreementTerms, ListEntry, ListFormatError, Put, read_line
from agent.watchlist.sealed_parts import MOST_JWK_BYTES
from drivers.printable import printable
from simulators.provider.check import ListReport, Stepped, check
from simulators.provider.entries import Listed
from simulators.provider.errors import ProviderError
from simulators.provider.files import files_in, read_files
from simulators.provider.provider import Lines, ListProvider, Published
from simulators.provider.serve import ListServer, make_certificate
from simulators.provider.signing import TOP, Validity
from simulators.provider.synthetic import EYE_ORDER, FINGER_ORDER, Made, crowd, people
from simulators.provider.terms import EntryTerms

T = TypeVar("T")

SYNTHETIC = "synthetic"  # the agreement of synthetic persons, made when it is needed
SHOWN = 50  # rows of a table
READABLE = (
    "WARNING: the lists are not encrypted: whoever has this folder, the mirror or the stick can read every template. "
    "Add the keys of the kiosks: kiosk-list kiosks add"
)

out = Console(highlight=False, emoji=False, markup=False, soft_wrap=True)
bars = Console(highlight=False, emoji=False, stderr=True)
app = typer.Typer(
    name="kiosk-list", help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)

kiosks_app = typer.Typer(help="The kiosks for which the lists are encrypted.", no_args_is_help=True)
app.add_typer(kiosks_app, name="kiosks")

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the list repository.")]
Provider = Annotated[str | None, typer.Option(help="Which provider; not needed if there is only one.")]
Keys = Annotated[
    list[Path] | None,
    typer.Option("--keys", exists=True, file_okay=False, help="A folder with private keys; again for each. [DIR/keys]"),
]
Ids = Annotated[list[str] | None, typer.Argument(metavar="ID…", help="Reference ids.")]
IdFile = Annotated[
    Path | None, typer.Option("--file", exists=True, dir_okay=False, help="A file with one reference id on each line.")
]


@app.command()
def init(
    folder: Folder,
    provider: Annotated[list[str] | None, typer.Option(help="A provider; again for each. [provider]")] = None,
    threshold: Annotated[int, typer.Option(min=1, max=9, help="Keys that must sign what is signed offline.")] = 1,
) -> None:
    """Make a list repository with its keys; or add providers to one. The key ceremony is in the README."""
    with ListProvider.init(folder, provider or ["provider"], threshold=threshold) as lists:
        out.print(f"{folder}: list repository of {', '.join(lists.providers)}")
    out.print(f"private keys:    {folder}/keys   move those of root, targets and the providers away from this computer")
    out.print(f"for each kiosk:  {folder}/root.json   hand it over yourself: it decides whom the kiosk believes")


@app.command()
def agreement(
    folder: Folder,
    name: Annotated[str, typer.Argument(metavar="ID", help="The id of the agreement.")],
    purpose: Annotated[str, typer.Option(help="Why people are listed.")],
    legal_basis: Annotated[str, typer.Option(help="The law that allows it.")],
    necessity: Annotated[str, typer.Option(help="Necessity code, as N1.")],
    recipient: Annotated[list[str], typer.Option(help="Who may receive leads; again for each.")],
    provider: Provider = None,
    keep_days: Annotated[int, typer.Option(min=1, max=36_500, help="The longest that an entry is kept.")] = 365,
    review_days: Annotated[int, typer.Option(min=1, max=36_500, help="Days until the agreement is reviewed.")] = 365,
) -> None:
    """Add an agreement, under which entries are listed; or replace the one of this id."""
    with ListProvider(folder) as lists, _wrong_terms():
        chosen = lists.chosen(provider)
        terms = AgreementTerms(
            id=name, provider=chosen, purpose=purpose, legal_basis=legal_basis, necessity=necessity,
            recipients=tuple(recipient), keep_days=keep_days, review_by=_in(review_days),
        )  # fmt: skip
        lists.agree(terms)
    out.print(f"agreement {name} of {chosen}: to be published")


@app.command()
def add(
    folder: Folder,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH…", exists=True, help="Files REFERENCE_POSITION.SUFFIX, or folders of them."),
    ] = None,
    entries: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A file with one entry (JSON) on each line.")
    ] = None,
    persons: Annotated[int, typer.Option(min=0, help="Add a crowd of so many synthetic persons.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the crowd: the same seed, the same persons.")] = 0,
    person: Annotated[
        list[int] | None, typer.Option(min=0, help="Add a person of the simulated sensors (kiosk-sim --person).")
    ] = None,
    fingers: Annotated[int, typer.Option(min=0, max=10, help="Fingers of a synthetic person.")] = 2,
    eyes: Annotated[int, typer.Option(min=0, max=2, help="Eyes of a synthetic person.")] = 2,
    provider: Provider = None,
    agreement: Annotated[str | None, typer.Option(help="Under which agreement; not needed if there is one.")] = None,
    category: Annotated[Category, typer.Option(help="Why the person is listed.")] = Category.WANTED,
    instruction: Annotated[str, typer.Option(help="What the officer shall do, as a code.")] = "REFER",
    necessity: Annotated[str, typer.Option(help="Necessity code.")] = "N1",
    recipient: Annotated[list[str] | None, typer.Option(help="Narrows the agreement's recipients.")] = None,
    days: Annotated[int, typer.Option(min=1, max=36_500, help="Days until the entries expire.")] = 180,
    review_days: Annotated[int, typer.Option(min=1, max=36_500, help="Days until they must be reviewed.")] = 90,
) -> None:
    """Add entries: from template files and images, from entries in JSON, or synthetic persons. All, or none."""
    each = (*FINGER_ORDER[:fingers], *EYE_ORDER[:eyes])
    chosen_sources = [bool(paths), entries is not None, persons > 0, bool(person)]
    if sum(chosen_sources) != 1:
        raise ProviderError("say what to add, one of: files or folders, --entries FILE, --persons N, --person N")
    if not each and (persons or person):
        raise ProviderError("a synthetic person needs a finger or an eye: --fingers, --eyes")
    with ListProvider(folder) as lists, _wrong_terms():
        chosen = lists.chosen(provider)
        if entries is not None:
            count = lists.put(_bar("adding", _entries_in(entries)), chosen)
        else:
            now = datetime.now(UTC).replace(microsecond=0)
            terms = EntryTerms(
                _agreement(lists, chosen, agreement, synthetic=not paths), category, instruction, necessity,
                now, now, now + timedelta(days=days), now + timedelta(days=review_days),
                tuple(recipient) if recipient else None,
            )  # fmt: skip
            if paths:
                files = [path for one in paths for path in (files_in(one) if one.is_dir() else [one])]
                made: Iterable[Made] = read_files(_bar("reading", files, len(files))).items()
                total = None
            else:
                made = crowd(seed, persons, each) if persons else people(person or (), each)
                total = persons or len(person or ())
            count = lists.put((terms.entry(*one) for one in _bar("adding", made, total)), chosen)
    out.print(f"{_entries(count)} added to the list of {chosen}; publish it with: kiosk-list publish {folder}")


@app.command()
def withdraw(folder: Folder, ids: Ids = None, file: IdFile = None, provider: Provider = None) -> None:
    """Remove entries. Kiosks remove them when they have fetched the next publication."""
    with ListProvider(folder) as lists:
        count = lists.withdraw(_ids(ids, file), provider)
    out.print(f"{_entries(count)} withdrawn; publish this with: kiosk-list publish {folder}")


@app.command()
def confirm(
    folder: Folder,
    ids: Ids = None,
    file: IdFile = None,
    provider: Provider = None,
    review_days: Annotated[int, typer.Option(min=1, max=36_500, help="Days until the next review.")] = 90,
    days: Annotated[int | None, typer.Option(min=1, max=36_500, help="Days until they expire. [unchanged]")] = None,
) -> None:
    """State that entries were reviewed and stay."""
    with ListProvider(folder) as lists:
        count = lists.confirm(_ids(ids, file), _in(review_days), None if days is None else _in(days), provider)
    out.print(f"{_entries(count)} confirmed; publish this with: kiosk-list publish {folder}")


@app.command()
def review(
    folder: Folder,
    within: Annotated[int, typer.Option(min=0, max=36_500, help="Show what is due within so many days.")] = 30,
    provider: Provider = None,
    renew: Annotated[int | None, typer.Option(min=1, max=36_500, help="Confirm them all, for so many days.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,  # noqa: FBT002 - typer needs a default
) -> None:
    """Show the entries that must be reviewed or will expire, and what else is due; --renew confirms the reviewed."""
    before = _in(within)
    with ListProvider(folder) as lists:
        _show_terms(lists, before)
        chosen = lists.providers if provider is None else (lists.chosen(provider),)
        for name in chosen:
            due = lists.due(before, name)
            _show_due(name, due, within)
            reviewed = [one.reference_id for one in due if one.review_by < before]
            if renew is None or not reviewed:
                continue
            if not yes and not typer.confirm(
                f"{name}: {_entries(len(reviewed))} to be reviewed. Was that done, and do all stay?"
            ):
                out.print("nothing changed")
                continue
            lists.confirm(reviewed, _in(renew), None, name)
            out.print(f"{_entries(len(reviewed))} confirmed; publish this with: kiosk-list publish {folder}")


@app.command()
def publish(
    folder: Folder,
    provider: Provider = None,
    keys: Keys = None,
    only_timestamp: Annotated[  # noqa: FBT002 - typer needs a default
        bool, typer.Option("--only-timestamp", help="Sign only that nothing is newer. Needs only the online keys.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="A new revision even without a change.")] = False,  # noqa: FBT002
    timestamp_hours: Annotated[int, typer.Option(min=1, max=8760, help="How long the timestamp is valid.")] = 48,
    keep_hours: Annotated[int, typer.Option(min=0, max=8760, help="Hours until files of older ones are deleted.")] = 24,
) -> None:
    """Publish what has changed, signed: a snapshot, and the changes since each of the last ten revisions."""
    validity = Validity(timestamp=timedelta(hours=timestamp_hours))
    with ListProvider(folder, keys=keys or (), validity=validity) as lists:
        if not only_timestamp and not lists.readers():
            bars.print(READABLE, style="bold red")
        if only_timestamp:
            lists.sign_timestamp()
            done = []
        else:
            done = lists.publish(provider, force=force, keep=timedelta(hours=keep_hours), progress=_line_bar)
        until = lists.metadata().timestamp().expires
        for one in done:
            _show_published(one)
        if not done and not only_timestamp:
            out.print("no list has changed")
        out.print(f"timestamp signed: valid until {until:%Y-%m-%d %H:%M} UTC; kiosks take it from {lists.public}")


@kiosks_app.command("add")
def add_kiosks(
    folder: Folder,
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE…", exists=True, dir_okay=False, help="Output of `kiosk-agent keys --list`."),
    ],
    name: Annotated[str | None, typer.Option(help="Name of the kiosk, with one FILE. [that of the FILE]")] = None,
) -> None:
    """Let kiosks read the lists from the next publication on. The first one makes all lists encrypted."""
    if name is not None and len(files) != 1:
        raise ProviderError("--name goes with one FILE: otherwise each kiosk has the name of its file")
    with ListProvider(folder) as lists:
        added = lists.add_readers((name or path.stem, _start_of(path)) for path in files)
    for one in added:
        out.print(f"{one.name}: may read, key {one.key_id}   compare it with `kiosk-agent keys --list` at the kiosk")
    out.print(f"publish this with: kiosk-list publish {folder}")


@kiosks_app.command("list")
def list_kiosks(folder: Folder) -> None:
    """Show the kiosks that may read the lists."""
    with ListProvider(folder) as lists:
        readers = lists.readers()
    if not readers:
        out.print("none: the lists are not encrypted")
        return
    table = Table("kiosk", "key", box=None)
    for one in readers:
        table.add_row(one.name, one.key_id)
    out.print(table)


@kiosks_app.command("remove")
def remove_kiosks(
    folder: Folder,
    names: Annotated[list[str], typer.Argument(metavar="NAME…", help="Names of kiosks, or ids of their keys.")],
) -> None:
    """Let kiosks no longer read what is published next. What they have read already they keep."""
    with ListProvider(folder) as lists:
        lists.remove_readers(names)
    out.print(f"{', '.join(names)}: removed; publish this with: kiosk-list publish {folder}")


@app.command()
def verify(
    source: Annotated[str, typer.Argument(help="DIR, its public folder, a stick, or https://host:port/.")],
    root: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="root.json as kiosks have it. [DIR/root.json]")
    ] = None,
    ca: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Certificate of the server.")] = None,
    list_key: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Private list key of a test kiosk (PEM), for encrypted lists."),
    ] = None,
) -> None:
    """Check what is published as a kiosk would, every signature and every entry. Status 1 if anything is wrong."""
    whole = Path(source, "public").is_dir()
    place = str(Path(source, "public").absolute()) if whole else source
    if root is None and not whole:
        raise ProviderError("name the root.json that kiosks were given, with --root FILE")
    tls = _trusting(ca) if ca else None
    key = load_list_key_file(list_key) if list_key else None
    trusted = (root or Path(source, "root.json")).read_bytes()
    with _parts_bar() as step:
        report = check(place, trusted, datetime.now(UTC), tls=tls, list_key=key, step=step)
    until = f"valid until {report.refreshed.valid_until:%Y-%m-%d %H:%M} UTC"
    out.print(f"signatures: good; snapshot {report.refreshed.version}, {until}")
    for one in report.lists:
        _show_report(one)
    if not report.good:
        raise typer.Exit(1)


@app.command()
def serve(
    folder: Folder,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535)] = 8443,
    name: Annotated[
        list[str] | None, typer.Option(help="Name or address in the certificate that is made; again for each.")
    ] = None,
    certificate: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="PEM file, with --key.")] = None,
    key: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Its private key.")] = None,
) -> None:
    """Serve the published folder over HTTPS until Ctrl-C. Without a certificate, one is made in DIR/tls."""
    if (certificate is None) != (key is None):
        raise ProviderError("a certificate and its key go together: --certificate FILE --key FILE")
    if not (folder / "public").is_dir():
        raise ProviderError(f"{folder}: is no list repository", f"make one with: kiosk-list init {folder}")
    if certificate is None or key is None:
        certificate, key = make_certificate(folder / "tls", [*(name or ()), "localhost", "127.0.0.1", "::1"])
    server = ListServer(folder / "public", (host, port), certificate, key)
    out.print(
        f"https://{f'[{host}]' if ':' in host else host}:{server.port}/   certificate: {certificate}   Ctrl-C ends"
    )
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


@app.command()
def keys(
    folder: Folder,
    replace: Annotated[str | None, typer.Option(metavar="ROLE", help="Make new keys for this role.")] = None,
    keys: Keys = None,
) -> None:
    """Show the roles, how many keys sign each and until when; --replace makes new keys where one was lost or stolen."""
    with ListProvider(folder, keys=keys or ()) as lists:
        if replace is not None:
            lists.replace_keys(replace)
            out.print(f"{replace}: new keys in {folder}/keys; those of before no longer count")
        metadata = lists.metadata()
        table = Table("role", "signatures", "keys", "here", "valid until (UTC)", box=None)
        for role in (*TOP, *metadata.providers):
            allowed, until = metadata.allowed(role), metadata.open(role).signed.expires
            here = "yes" if metadata.can_sign(role) else "no"
            table.add_row(role, str(allowed.threshold), str(len(allowed.keyids)), here, f"{until:%Y-%m-%d %H:%M}")
        out.print(table)


@contextmanager
def _wrong_terms() -> Iterator[None]:
    """Turns what pydantic says of an entry or an agreement into a ProviderError."""
    try:
        yield
    except ValidationError as error:
        lines = (
            f"{'.'.join(map(str, one['loc'])) or 'entry'}: {one['msg'].removeprefix('Value error, ')}"
            for one in error.errors(include_url=False, include_input=False)
        )
        raise ProviderError("this cannot be listed:", *list(dict.fromkeys(lines))[:10]) from error


def _agreement(lists: ListProvider, provider: str, name: str | None, *, synthetic: bool) -> str:
    """The agreement that was named, or the only one. For synthetic persons one is made where there is none."""
    known = [terms.id for terms in lists.agreements(provider)]
    if name is not None:
        return name
    if synthetic and not known:
        terms = AgreementTerms(
            id=SYNTHETIC, provider=provider, purpose="test with synthetic persons", legal_basis="none needed",
            necessity="TEST", recipients=("hub",), keep_days=365, review_by=_in(365),
        )  # fmt: skip
        lists.agree(terms)
        return SYNTHETIC
    if len(known) == 1:
        return known[0]
    what = "make one with: kiosk-list agreement" if not known else f"say which with --agreement: {', '.join(known)}"
    raise ProviderError(f"{provider} has {len(known)} agreements", what)


def _entries_in(path: Path) -> Iterator[ListEntry]:
    """The entries of a file of JSON lines. ProviderError names the first line that is no entry."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            try:
                read = read_line(b'{"op":"put","entry":' + line.strip() + b"}")
            except ListFormatError as error:
                raise ProviderError(f"{path}: line {number}: {error}", "nothing was added") from error
            if isinstance(read, Put):
                yield read.entry


def _start_of(path: Path) -> bytes:
    """A file, or as much of it as says that it is too large for a key."""
    with path.open("rb") as file:
        return file.read(MOST_JWK_BYTES + 1)


def _ids(ids: Sequence[str] | None, file: Path | None) -> list[str]:
    """Those of the command line and of the file. ProviderError if there are none."""
    named = [*(ids or ()), *(file.read_text(encoding="utf-8").split() if file else ())]
    if not named:
        raise ProviderError("name the entries, by reference id, or with --file FILE")
    return named


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


def _kiosks(count: int) -> str:
    return "1 kiosk" if count == 1 else f"{count} kiosks"


def _in(days: int) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)


def _trusting(ca: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except ssl.SSLError as error:
        raise ProviderError(f"{ca}: is no certificate in a PEM file") from error


def _bar(what: str, items: Iterable[T], total: int | None = None) -> Iterator[T]:
    """The same items, with a progress bar."""
    with _progress() as progress:
        yield from progress.track(items, total, description=what)


def _line_bar(what: str, total: int, lines: Lines, /) -> Lines:
    return _bar(what, lines, total or None)


def _progress() -> Progress:
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=bars, transient=True)


@contextmanager
def _parts_bar() -> Iterator[Stepped]:
    """A progress bar for each set of parts that is read."""
    tasks: dict[str, TaskID] = {}
    with _progress() as progress:

        def step(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(printable(what), total=total)
            progress.update(tasks[what], completed=done)

        yield step


def _show_terms(lists: ListProvider, before: datetime) -> None:
    """What is due besides entries: agreements, and roles that must be signed again."""
    for name in lists.providers:
        for terms in lists.agreements(name):
            if terms.review_by < before:
                out.print(f"{name}: agreement {terms.id} must be reviewed by {terms.review_by:%Y-%m-%d}")
    metadata = lists.metadata()
    for role in (*TOP[:2], *metadata.providers):
        until = metadata.open(role).signed.expires
        if until < before:
            out.print(f"{role}: its signature is valid until {until:%Y-%m-%d}: publish with its keys")


def _show_due(provider: str, due: Sequence[Listed], within: int) -> None:
    out.print(f"{provider}: to be reviewed, or expiring, within {within} days: {_entries(len(due))}")
    if not due:
        return
    table = Table("reference", "category", "agreement", "review by", "expires", box=None)
    for one in due[:SHOWN]:
        times = (f"{at:%Y-%m-%d}" for at in (one.review_by, one.expires_at))
        table.add_row(one.reference_id, one.category, one.agreement, *times)
    out.print(table)
    if len(due) > SHOWN:
        out.print(f"and {len(due) - SHOWN} more")


def _show_published(one: Published) -> None:
    expired = f", {one.expired} expired" if one.expired else ""
    sealed = f"; encrypted for {_kiosks(one.readers)}" if one.readers else ""
    out.print(
        f"{one.provider}: revision {one.revision}, {_entries(one.entries)}{expired}, {one.packed / 1e6:.1f} MB "
        f"(parts: {one.parts}; deltas: {one.deltas}){sealed}"
    )


def _show_report(one: ListReport) -> None:
    if not one.revision and not one.problems:
        out.print(f"{one.provider}: nothing published yet")
        return
    counts = ", ".join(f"{count} {name}" for name, count in sorted(one.templates.items()))
    found = f"{_entries(one.entries)} ({counts or 'no templates'})"
    if one.readers is not None:
        found = "entries not read (--list-key)" if one.unread else found
        found += f", encrypted for {_kiosks(one.readers)}"
    out.print(f"{one.provider}: revision {one.revision}, {found}")
    if one.expired or one.unreviewed:
        out.print(f"  {one.expired} have expired and {one.unreviewed} lack their review: kiosks do not search them")
    for problem in one.problems:
        out.print(f"  wrong: {problem}")
    if one.more_problems:
        out.print(f"  and {one.more_problems} more")


def main() -> None:
    """Run the command of the command line."""
    try:
        app()
    except AgentError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error.filename or 'the system'}: {error.strerror}")
