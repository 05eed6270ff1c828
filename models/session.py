"""Runs ONNX graphs. The only module that knows onnxruntime."""

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.manifest import ModelCard, ModelError

WARM_UP_SHAPE = (1, 64, 64, 1)


class Session:
    """One image in, one image out. Safe to call from several threads; each call uses up to `threads` cores."""

    def __init__(self, card: ModelCard, threads: int) -> None:
        data = card.read()
        self._path = card.path
        try:
            self._session = onnxruntime.InferenceSession(data, _options(threads), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a class for each cause and no common one
            raise ModelError(f"{card.path}: onnxruntime {onnxruntime.__version__} cannot load it: {error}") from error
        self._input = self._session.get_inputs()[0].name
        self.run(np.zeros(WARM_UP_SHAPE, np.float32))

    def run(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """The first output of the graph. ModelError when onnxruntime cannot compute it, for want of memory say."""
        try:
            output: NDArray[np.float32] = self._session.run(None, {self._input: image})[0]
        except Exception as error:  # as above
            raise ModelError(f"{self._path}: cannot be run on an image {list(image.shape)}: {error}") from error
        return output


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Image sizes vary: the arena and the pattern of each size would be kept, and memory grows in long runs.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    # A kiosk waits nearly always; idle threads must not spin.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
