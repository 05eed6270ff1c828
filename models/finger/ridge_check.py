"""Whether an image shows ridges at all: quick, without the network, so that a touch of nobody starts no encounter.

Sunlight on an optical sensor, water or dirt give images with edges, shadows and noise, which have no period. The image
is cut into blocks. In a block of ridges most of the variation has one direction and one period, that of ridges.
"""

import numpy as np
from numpy.typing import NDArray

from models.finger.image import possible
from models.finger.minutiae import PIXELS_PER_INCH

BLOCK_IN = 0.08  # the side of a block in inches: 40 pixels at 500 ppi, four to eight ridges
PERIODS_IN = (0.008, 0.024)  # from ridge to ridge: children have narrow ridges, tall people wide ones
RIDGE_SHARE = 0.2  # of the variation of a block: the least that has the main direction and period of ridges
MIN_BLOCKS = 6  # of an image that shows ridges. Blocks overlap by half, so this is about 0.02 square inches
MIN_DEVIATION = 2.0  # grey levels; less is a blank block
MIN_SIDE = 12  # pixels of a block: fewer cannot show three ridges
MAX_BLOCKS = 2048  # of a huge image only every second (third, ...) block is examined


def shows_ridges(image: NDArray[np.uint8], pixels_per_inch: float) -> bool:
    """Whether an image u8[h, w] shows ridges somewhere. An impossible resolution is taken for 500 ppi."""
    return int(np.count_nonzero(ridge_shares(image, pixels_per_inch) >= RIDGE_SHARE)) >= MIN_BLOCKS


def ridge_shares(image: NDArray[np.uint8], pixels_per_inch: float) -> NDArray[np.float32]:
    """Of each block, the share of its variation that has the direction and the period of ridges; 0 if it is blank."""
    ppi = pixels_per_inch if possible(pixels_per_inch) else PIXELS_PER_INCH
    side = max(MIN_SIDE, round(BLOCK_IN * ppi))
    blocks = _blocks(image, side)
    if not blocks.size:
        return np.zeros(0, np.float32)
    centred = blocks - blocks.mean((1, 2), keepdims=True)
    varied = centred.std((1, 2)) >= MIN_DEVIATION
    window = np.hanning(side + 2)[1:-1].astype(np.float32)
    power = np.abs(np.fft.rfft2(centred[varied] * np.outer(window, window))) ** 2
    power[:, :, 1 : (side + 1) // 2] *= 2  # rfft2 omits the other half of the plane, which has the same values
    power[:, 0, 0] = 0
    shares = np.zeros(len(blocks), np.float32)
    shares[varied] = _peak_share(power, side, ppi)
    return shares


def _peak_share(power: NDArray[np.floating], side: int, ppi: float) -> NDArray[np.float32]:
    """The share of the total power around the highest peak among the periods of ridges."""
    down = np.fft.fftfreq(side)[:, None] * ppi
    across = np.fft.rfftfreq(side)[None, :] * ppi
    frequency = np.hypot(down, across)  # cycles per inch
    ring = (frequency >= 1 / PERIODS_IN[1]) & (frequency <= 1 / PERIODS_IN[0])
    peaks = np.argmax(np.where(ring, power, 0).reshape(len(power), ring.size), axis=1)
    row, column = np.unravel_index(peaks, ring.shape)
    number = np.arange(len(power))
    near = np.zeros(len(power))
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            at = column + dx
            inside = (at >= 0) & (at < ring.shape[1])
            near += np.where(inside, power[number, (row + dy) % side, np.where(inside, at, 0)], 0)
    share: NDArray[np.float32] = (near / np.maximum(power.sum((1, 2)), 1e-9)).astype(np.float32)
    return share


def _blocks(image: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """The blocks f32[n, side, side] of an image; each next one begins half a side further to the right."""
    if min(image.shape) < side:
        return np.zeros((0, side, side), np.float32)
    views = np.lib.stride_tricks.sliding_window_view(image, (side, side))[::side, :: side // 2]
    views = views.reshape(-1, side, side)
    blocks: NDArray[np.float32] = views[:: -(-len(views) // MAX_BLOCKS)].astype(np.float32)
    return blocks
