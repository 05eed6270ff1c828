# `make demo` and `make test` do all the set-up on a machine with Python 3.11, make and git.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

DRILLS := lost unplug stop memory sensors fuzz swaps camera coverage conformance watchlist
.PHONY: help setup demo test bench wheel lint format lock $(addprefix drill-,$(DRILLS))
help:
	@echo "make demo    three travellers at a simulated kiosk; then press another finger   (ONCE=1 ends after the three)"
	@echo "               with another sensor: SENSOR=ef01, sfm, uru4000 or nb1010"
	@echo "make test    every test"
	@echo "make bench   speed and accuracy, as ratios and figures"
	@echo "make wheel   the packages for a kiosk and for a technician, in dist/"
	@echo "make lint    ruff, mypy, codespell"
	@echo "make drill-NAME  a long acceptance run: $(DRILLS)"

# The stamp changes when the lock does, so that every target runs on what the lock says. At the end the searches are compiled.
setup: .venv/ready
.venv/ready: requirements-dev.lock pyproject.toml simulators/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	@$(BIN)/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e . -e simulators
	@$(BIN)/python -c 'from models import GALLERIES, gallery_class; [gallery_class(name).build(()) for name in GALLERIES]'
	@touch $@

demo: setup
	@$(BIN)/kiosk-sim demo $(if $(SENSOR),--sensor $(SENSOR)) $(if $(ONCE),--once)

# Three processes on two cores: half of the time is waiting for brokers, daemons and kernels.
JOBS ?= 3
test: setup
	$(BIN)/pytest -n $(JOBS) --dist worksteal

# Writes build/bench/table.txt, figures.json and bench.png. Accuracy where there are public sets; MILLION=1 takes 2 GB.
BENCH_IMAGES ?= $(wildcard ../shared/data/fingerprint)
BENCH_SETS ?= FVC2002_DB1_B FVC2000_DB1_B FVC2002_DB2_B=569 UareU=512 FVC2002_DB4_B
bench: setup
	$(BIN)/kiosk-bench report $(if $(BENCH_IMAGES),--images $(BENCH_IMAGES) $(addprefix --set ,$(BENCH_SETS))) $(if $(MILLION),--million)
	$(BIN)/kiosk-bench path

# Ten minutes or so each; make test runs a short seed of every drill.
$(addprefix drill-,$(DRILLS)): drill-%: setup
	$(BIN)/python -m tests.whole.drills.$* $(if $(SEED),--seed $(SEED))

# Two wheels: what a kiosk carries, and the simulators with kiosk-bench. What an earlier build left would go into them.
wheel: setup
	@rm -rf build/lib build/bdist* simulators/build
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist . ./simulators
	@rm -rf build/lib build/bdist* simulators/build
	@ls -l dist

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Needs uv (PyPI). Run after changing dependencies in pyproject.toml. The Adafruit client of our tests imports nothing
# of Blinka, its declared tree of board libraries (one of which wants a C compiler), so the lock leaves that out.
BLINKA := adafruit-blinka adafruit-circuitpython-busdevice adafruit-circuitpython-connectionmanager \
	adafruit-circuitpython-requests adafruit-circuitpython-typing adafruit-platformdetect adafruit-pureio \
	binho-host-adapter pyftdi sysv-ipc
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	--custom-compile-command "make lock" $(addprefix --no-emit-package ,kiosk-agent kiosk-simulators $(BLINKA))
lock:
	$(LOCK) pyproject.toml -o requirements.lock
	echo "setuptools>=77" | $(LOCK) --extra dev --extra build --constraint requirements.lock - pyproject.toml -o requirements-dev.lock
