"""Draws simulators/demo.svg, the figure in README.md: runs the demo and keeps its first two travellers.

python -m simulators.demo_picture [FILE]
"""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

OUTPUT = Path(__file__).with_name("demo.svg")
WIDTH = 132  # columns
FROM, TO = re.compile(r"^1  ", re.MULTILINE), re.compile(r"^3  ", re.MULTILINE)  # headings of the demo
END = re.compile(r"^All .*$", re.MULTILINE)
FONT_FACES = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # rich would load a font from the network


def excerpt(output: str) -> str:
    """The first two travellers and the last line of the demo's output, with colours. ValueError if it is incomplete."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    if not (FROM.search(plain) and TO.search(plain) and END.search(plain)):
        raise ValueError("this is not the output of a complete demo")
    lines = output.splitlines()
    bare = plain.splitlines()
    start = next(i for i, line in enumerate(bare) if FROM.match(line))
    stop = next(i for i, line in enumerate(bare) if TO.match(line))
    last = next(i for i, line in enumerate(bare) if END.match(line))
    return "\n".join([*lines[start:stop], lines[last]])


def draw(text: str) -> str:
    """Render the text as an SVG image of a terminal."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(text), soft_wrap=False, highlight=False)
    return FONT_FACES.sub("", console.export_svg(title="make demo", theme=MONOKAI))


def main() -> None:
    """Run the demo and write the figure. If the demo fails, exit with its status."""
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT
    demo = [sys.executable, "-m", "simulators", "demo", "--once"]
    environment = os.environ | {"FORCE_COLOR": "1", "COLUMNS": str(WIDTH)}
    done = subprocess.run(demo, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    output.write_text(draw(excerpt(done.stdout)), encoding="utf-8")
    print(f"{output}")


if __name__ == "__main__":
    main()
