"""Checks the import rules between packages. Reads the import statements of every module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.structure.mirror import PACKAGES
from tests.structure.sources import FILES, MODULES, imports_of

# Which of our own packages a package may import. "models" may import only drivers.sample.
ALLOWED = {
    "drivers": {"drivers"},
    "models": {"models", "drivers.sample"},
    "agent": {"agent", "models", "drivers"},
    "simulators": {"simulators", "agent", "models", "drivers"},
}

# Libraries that only some modules may import.
OWNED = {
    "tuf": {
        *(
            f"agent/distribution/{name}.py"
            for name in ("client", "directory", "fetcher", "https", "refusal", "repository")
        ),
        *(f"simulators/provider/{name}.py" for name in ("provider", "signing")),
    },
    "paho": {"agent/hub/link.py", "agent/hub/mqtt_client.py", "simulators/hub/hub.py"},
    "serial": {"drivers/serial_line.py"},
    "usb": {"drivers/usb/local.py"},
    "pyudev": {"drivers/usb/hotplug.py"},
    "gi": {"simulators/transports/usb/umockdev.py"},
    "onnxruntime": {"models/onnx_session.py"},
    "sqlite3": {"simulators/hub/store.py", "simulators/provider/entries.py"},
    "sqlcipher3": {"agent/storage/encryption.py"},
    "sqlite_utils": {
        "agent/storage/database.py",
        "agent/hub/outbox.py",
        "agent/watchlist/store.py",
        "simulators/hub/store.py",
    },
}

# All modules of these rooms are device models, except those that use drivers/. A device model must not share code with
# the drivers: a test of one against the other would not find an error in the shared code.
DEVICE_ROOMS = ("simulators/sensors/", "simulators/transports/")
USES_DRIVERS = {
    "simulators/sensors/cli.py", "simulators/sensors/table.py", "simulators/sensors/touch_cli.py",
    "simulators/sensors/touch_libusb.py", "simulators/sensors/common/touch_options.py",
    "simulators/sensors/common/touch_rig.py", "simulators/sensors/ef01/cli.py", "simulators/sensors/ef01/rig.py",
    "simulators/sensors/nb1010/rig.py", "simulators/sensors/sfm/rig.py", "simulators/sensors/uru4000/rig.py",
    "simulators/sensors/uvc/cli.py", "simulators/sensors/uvc/libusb.py", "simulators/sensors/uvc/rig.py",
    "simulators/sensors/uvc/scene.py",
}  # fmt: skip

# The simulated hub uses only the published schemas, and nothing of the agent.
HUB = ("hub/hub.py", "hub/keys.py", "hub/console.py", "hub/rules.py", "hub/store.py")

# Training may use synthetic people, and read the images of a set in the same way as the benches. It is not installed on
# a kiosk.
TRAINING = {
    "models/training/golden_scores.py": "simulators.people.person",
    "models/training/networks/eye_pictures.py": "simulators.people.person",
    "models/training/networks/finger_pictures.py": "simulators.people.person",
    "models/training/fit_finger.py": "simulators.pictures",
    "models/training/fit_iris.py": "simulators.pictures",
    "models/training/sample_sets.py": "simulators.pictures",
}


def imports(path: Path) -> Iterator[str]:
    """The dotted names of everything that a module imports."""
    for one in imports_of(path):
        yield from (one.module, *one.inner)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


DEVICE_MODELS = [path for path in FILES if str(path).startswith(DEVICE_ROOMS) and str(path) not in USES_DRIVERS]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_packages_import_only_those_below_them(path: Path) -> None:
    package = path.parts[0]
    for name in imports(path):
        if not any(within(name, ours) for ours in PACKAGES) or name == "drivers":
            continue
        if within(name, TRAINING.get(str(path), package)):
            continue
        assert any(within(name, allowed) for allowed in ALLOWED[package]), f"{path} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_library_is_imported_only_by_its_owners(path: Path) -> None:
    for name in imports(path):
        owners = OWNED.get(name.partition(".")[0])
        assert owners is None or str(path) in owners, f"{path} imports {name}"


def host_imports(module: Path) -> set[str]:
    """What a module of the simulators imports from the host's packages, itself or through other simulators."""
    found: set[str] = set()
    unread, read = [module], set[Path]()
    while unread:
        path = unread.pop()
        read.add(path)
        for name in imports(path):
            if name.split(".")[0] in ("drivers", "agent", "models"):
                found.add(name)
            elif (inner := MODULES.get(name)) and inner.parts[0] == "simulators" and inner not in read:
                unread.append(inner)
    return found


@pytest.mark.parametrize("path", DEVICE_MODELS, ids=str)
def test_device_models_import_nothing_of_drivers_agent_or_models(path: Path) -> None:
    assert not host_imports(path)


@pytest.mark.parametrize("module", sorted(USES_DRIVERS))
def test_the_exceptions_do_use_the_drivers(module: str) -> None:
    assert host_imports(Path(module))


@pytest.mark.parametrize("module", HUB)
def test_the_simulated_hub_imports_nothing_of_drivers_agent_or_models(module: str) -> None:
    assert not host_imports(Path("simulators", module))


def test_private_keys_are_loaded_in_one_module() -> None:
    loaders = [str(p) for p in FILES if any("load_pem_private_key" in name for name in imports(p))]
    assert loaders == ["agent/keys.py", "simulators/provider/keys.py"]
