"""Runs ONNX graphs. The only module that imports onnxruntime."""

import os
from collections.abc import Mapping
from typing import Any

# onnxruntime sends usage data to its maker over the network and writes a device id below ~/.cache. Only this variable,
# set before the import, stops both: disable_telemetry_events() comes too late. A kiosk connects to nobody but its hub.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.manifest import ModelCard, ModelError

WARM_UP_SHAPE = (1, 64, 64, 1)


Arrays = Mapping[str, NDArray[Any]]


class Session:
    """A loaded graph. Can be called from several threads; each call uses up to `threads` cores."""

    def __init__(self, card: ModelCard, threads: int, warm_up: Arrays | None = None) -> None:
        """Load the graph and run it once. `warm_up`: the inputs of that run, by default one image [1, 64, 64, 1]."""
        data = card.read()
        self._path = card.path
        try:
            self._session = onnxruntime.InferenceSession(data, _options(threads), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises many classes that have no common base
            raise ModelError(f"{card.path}: onnxruntime {onnxruntime.__version__} cannot load it: {error}") from error
        self._input = self._session.get_inputs()[0].name
        self.run_named(warm_up or {self._input: np.zeros(WARM_UP_SHAPE, np.float32)})

    def run(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """The first output of a graph with one input. ModelError as run_named()."""
        return self.run_named({self._input: image})[0]

    def run_named(self, inputs: Arrays) -> list[NDArray[Any]]:
        """All outputs for named inputs. ModelError if they cannot be computed, for example for lack of memory."""
        try:
            outputs: list[NDArray[Any]] = self._session.run(None, dict(inputs))
        except Exception as error:  # as above
            shapes = ", ".join(str(list(array.shape)) for array in inputs.values())
            raise ModelError(f"{self._path}: cannot be run on an image {shapes}: {error}") from error
        return outputs


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Image sizes vary. The arena and the memory pattern of each size would be kept, so that memory grows in long runs.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    # A kiosk is idle most of the time; idle threads must not spin.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
