"""The simulated readers that a simulated USB host loads."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_model_and_its_bench_need_the_standard_library_alone() -> None:
    subprocess.run([sys.executable, "-S", "-c", "import simulators.sensors.touch_plugged"], cwd=ROOT, check=True)
