"""The command line that the public suite tuf-conformance drives our client with (its CLIENT-CLI.md).

python -m agent.distribution.command --metadata-dir DIR init ROOT
python -m agent.distribution.command --metadata-dir DIR --metadata-url URL refresh
python -m agent.distribution.command --metadata-dir DIR --metadata-url URL --target-name NAME --target-base-url URL
    --target-dir DIR download
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from agent.distribution.client import TufClient
from agent.distribution.https import HttpsFetcher
from agent.distribution.refusal import UpdateRefused

ROOT = "trusted-root"  # in the metadata folder: the root metadata that `init` was given


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command: 0 if it succeeded, 1 with the reason if not."""
    options = _parser().parse_args(arguments)
    folder: Path = options.metadata_dir
    try:
        if options.command == "init":
            (folder / ROOT).write_bytes(options.trusted_root.read_bytes())
            return 0
        client = _client(options)
        client.refresh()
        for name in options.target_name:
            _download(client, name, options.target_dir)
    except (UpdateRefused, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _client(options: Namespace) -> TufClient:
    folder: Path = options.metadata_dir
    return TufClient(
        HttpsFetcher(options.metadata_url),
        options.metadata_url.rstrip("/") + "/",
        (options.target_base_url or "").rstrip("/") + "/",
        metadata_dir=folder,
        root=(folder / ROOT).read_bytes(),
        now=datetime.now(UTC),
    )


def _download(client: TufClient, name: str, folder: Path) -> None:
    """Store a target, unless the file is there already."""
    target = client.find(name, name)
    if target is None:
        raise FileNotFoundError(f"{name}: there is no such target")
    place = folder / quote(name, "")
    if not client.matches(target, place):
        place.write_bytes(client.download(target, name))


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m agent.distribution.command", description="TUF client for tuf-conformance")
    parser.add_argument("--metadata-dir", type=Path, required=True)
    parser.add_argument("--metadata-url", default="")
    parser.add_argument("--target-name", action="append", default=[])
    parser.add_argument("--target-dir", type=Path)
    parser.add_argument("--target-base-url")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("init").add_argument("trusted_root", type=Path)
    commands.add_parser("refresh")
    commands.add_parser("download")
    return parser


if __name__ == "__main__":
    sys.exit(main())
