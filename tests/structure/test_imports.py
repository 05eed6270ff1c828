"""Who may import whom, held by reading every module's imports."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("agent", "drivers", "models", "simulators")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

# Which of our own packages a package may import; "models" sees drivers.sample alone.
ALLOWED = {
    "drivers": {"drivers"},
    "models": {"models", "drivers.sample"},
    "agent": {"agent", "models", "drivers"},
    "simulators": {"simulators", "agent", "models", "drivers"},
}

# A library that one place owns: the modules that may import it.
OWNED = {
    "paho": {"agent/hub/link.py", "simulators/hub/hub.py"},
    "serial": {"drivers/serial_line.py"},
    "usb": {"drivers/usb/local.py"},
    "pyudev": {"drivers/usb/watch.py"},
    "gi": {"simulators/transports/usb/umockdev.py"},
    "onnxruntime": {"models/session.py"},
    "sqlite3": {"agent/storage/database.py", "simulators/hub/store.py"},
    "sqlite_utils": {
        "agent/storage/database.py",
        "agent/hub/outbox.py",
        "agent/watchlist/store.py",
        "simulators/hub/store.py",
    },
}

# The device's side of a wire knows nothing of the host's: an error of one would otherwise agree with itself.
DEVICE_MODELS = (
    "transports/faults.py", "transports/remote.py", "transports/ticker.py",
    "transports/serial/uart.py", "transports/serial/pseudo_terminal.py",
    "transports/usb/device.py", "transports/usb/port.py", "transports/usb/faults.py", "transports/usb/standard.py",
    "transports/usb/usbip.py", "transports/usb/umockdev.py", "transports/usb/usbfs.py", "transports/usb/plugged.py",
    "sensors/touch_plugged.py", "sensors/common/serial_module.py",
    "sensors/nb1010/device.py", "sensors/ef01/device.py", "sensors/ef01/commands.py",
    "sensors/sfm/device.py", "sensors/sfm/commands.py", "sensors/sfm/wire.py",
    "sensors/uvc/device.py", "sensors/uvc/descriptors.py", "sensors/uvc/frames.py", "sensors/uvc/plugged.py",
    "sensors/uru4000/device.py", "sensors/uru4000/units.py", "sensors/uru4000/image.py",
)  # fmt: skip

# The simulated hub reads only the published schemas.
HUB = ("hub/hub.py", "hub/keys.py", "hub/console.py", "hub/rules.py", "hub/store.py")

# May learn from synthetic people, and read the pictures of a set as the bench does; nothing of it is there at run time.
TRAINING = {
    "models/training/golden_scores.py": "simulators.people.person",
    "models/training/networks/eye_pictures.py": "simulators.people.person",
    "models/training/networks/finger_pictures.py": "simulators.people.person",
    "models/training/fit_finger.py": "simulators.images",
    "models/training/fit_iris.py": "simulators.images",
    "models/training/sample_sets.py": "simulators.images",
}


def imports(path: Path) -> Iterator[str]:
    """Dotted names of everything that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_packages_import_only_those_below_them(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    for name in imports(path):
        if not any(within(name, ours) for ours in PACKAGES) or name == "drivers":
            continue
        if within(name, TRAINING.get(relative(path), package)):
            continue
        assert any(within(name, allowed) for allowed in ALLOWED[package]), f"{relative(path)} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_library_stays_behind_the_module_that_owns_it(path: Path) -> None:
    for name in imports(path):
        owners = OWNED.get(name.partition(".")[0])
        assert owners is None or relative(path) in owners, f"{relative(path)} imports {name}"


def test_device_models_import_nothing_of_drivers_or_agent() -> None:
    for module in DEVICE_MODELS:
        foreign = [
            n for n in imports(ROOT / "simulators" / module) if n.split(".")[0] in ("drivers", "agent", "models")
        ]
        assert not foreign, f"simulators/{module} imports {foreign}"


def test_the_simulated_hub_imports_nothing_of_the_agent() -> None:
    for module in HUB:
        foreign = [
            n for n in imports(ROOT / "simulators" / module) if n.split(".")[0] in ("drivers", "agent", "models")
        ]
        assert not foreign, f"simulators/{module} imports {foreign}"


def test_private_keys_are_loaded_in_one_module() -> None:
    loaders = [relative(p) for p in MODULES if any("load_pem_private_key" in name for name in imports(p))]
    assert loaders == ["agent/keys.py"]
