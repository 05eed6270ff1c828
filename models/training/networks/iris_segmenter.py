"""Trains iris_segmenter.onnx on synthetic eyes: python -m models.training.networks.iris_segmenter --out FILE.

Needs torch (CPU is enough) and onnx, in a separate environment; models/README.md shows the two commands.

A small U-Net. From one grey image of HEIGHT x WIDTH it makes three maps in 0..1: inside the pupil, inside the limbus
(also under lids), usable iris.
"""

import argparse
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training.networks.eye_pictures import HEIGHT, MAPS, WIDTH, TrainingSet, batches, load_or_make

CHANNELS = (16, 32, 48, 64)  # at half the size of the image, a quarter, an eighth, a sixteenth
BATCH = 12
RATE = 3e-3
OPSET = 17
HELD_OUT = 64  # scenes that are used only to measure the result


class ConvPair(nn.Sequential):
    """Two convolutions."""

    def __init__(self, inward: int, outward: int) -> None:
        super().__init__(*_convolution(inward, outward), *_convolution(outward, outward))


def _convolution(inward: int, outward: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inward, outward, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(outward),
        nn.ReLU(),
    ]


class Segmenter(nn.Module):
    """The network, without the sigmoid at its end."""

    def __init__(self) -> None:
        super().__init__()
        narrowing = CHANNELS[::-1]
        self.stem = nn.Sequential(*_convolution(1, CHANNELS[0], stride=2), *_convolution(CHANNELS[0], CHANNELS[0]))
        self.down = nn.ModuleList(ConvPair(a, b) for a, b in pairwise(CHANNELS))
        self.bottom = ConvPair(CHANNELS[-1], CHANNELS[-1])
        self.up = nn.ModuleList(ConvPair(a + b, b) for a, b in pairwise(narrowing))
        self.out = nn.Conv2d(CHANNELS[0], MAPS, 1)

    def forward(self, x: Tensor) -> Tensor:
        """f32[n, 1, HEIGHT, WIDTH] in 0..1 to logits f32[n, MAPS, HEIGHT, WIDTH]."""
        # Cameras differ in light, so each image is normalised by its own mean and deviation.
        spread = x.std(dim=(2, 3), keepdim=True) + 0.05
        x = self.stem((x - x.mean(dim=(2, 3), keepdim=True)) / spread)
        skips = [x]
        for step in self.down:
            x = step(functional.max_pool2d(x, 2))
            skips.append(x)
        x = self.bottom(skips.pop()) + x
        for step in self.up:
            x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = step(torch.cat([x, skips.pop()], 1))
        return functional.interpolate(self.out(x), scale_factor=2, mode="bilinear", align_corners=False)


class ExportedNetwork(nn.Module):
    """The network as models/iris/segmentation/network.py uses it: grey 0..255 in, maps 0..1 out."""

    def __init__(self, network: Segmenter) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """f32[1, 1, HEIGHT, WIDTH] to f32[1, MAPS, HEIGHT, WIDTH]."""
        return torch.sigmoid(self.network(x / 255))


def loss_of(logits: Tensor, truth: Tensor) -> Tensor:
    """The loss: cross-entropy of all pixels, plus the missing overlap of the maps."""
    entropy = functional.binary_cross_entropy_with_logits(logits, truth)
    maps = torch.sigmoid(logits)
    common = (maps * truth).sum((2, 3))
    overlap = (2 * common + 20) / (maps.sum((2, 3)) + truth.sum((2, 3)) + 20)
    return entropy + 0.5 * (1 - overlap.mean())


def train(training_set: TrainingSet, steps: int, seed: int, threads: int) -> Segmenter:
    """Trains for `steps` steps; prints a line of progress every 100."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    network = Segmenter().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    source = batches(training_set, BATCH, np.random.default_rng(seed))
    start, total = time.monotonic(), 0.0
    for step in range(1, steps + 1):
        image, truth = (torch.from_numpy(array) for array in next(source))
        # bfloat16: a third faster on processors that have it, with the same accuracy.
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(image.to(memory_format=torch.channels_last))
        loss = loss_of(logits.float(), truth)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += float(loss.detach())
        if step % 100 == 0:
            print(f"{step:5d} of {steps}  loss {total / 100:.4f}  {time.monotonic() - start:.0f} s", flush=True)
            total = 0.0
    return network.eval()


def overlaps(network: Segmenter, training_set: TrainingSet, seed: int) -> list[float]:
    """The mean intersection over union of each map, on scenes that were not used for training."""
    image, truth = next(batches(training_set, len(training_set), np.random.default_rng(seed)))
    with torch.no_grad():
        maps = (torch.sigmoid(network(torch.from_numpy(image))) > 0.5).numpy()
    known = truth > 0.5
    both, either = (maps & known).sum((2, 3)), (maps | known).sum((2, 3))
    return [float(share) for share in np.mean((both + 1) / (either + 1), axis=0)]


def export(network: Segmenter, path: Path) -> None:
    """Writes the graph that is shipped."""
    example = torch.zeros(1, 1, HEIGHT, WIDTH)
    torch.onnx.export(
        ExportedNetwork(network.to(memory_format=torch.contiguous_format)).eval(),
        (example,),
        str(path),
        input_names=["image"],
        output_names=["maps"],
        opset_version=OPSET,
        dynamo=False,
    )


def main() -> None:
    """Make or load the scenes, train, measure, export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scenes", type=Path, default=Path("scenes.npz"), help="file of the scenes; kept between runs")
    parser.add_argument("--count", type=int, default=4000, help="scenes to render")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="more than one is slower on a busy machine")
    parser.add_argument("--workers", type=int, default=2, help="processes that render scenes")
    options = parser.parse_args()
    training_set = load_or_make(options.scenes, options.count, options.workers)
    learned = TrainingSet(training_set.images[HELD_OUT:], training_set.maps[HELD_OUT:])
    held_out = TrainingSet(training_set.images[:HELD_OUT], training_set.maps[:HELD_OUT])
    network = train(learned, options.steps, options.seed, options.threads)
    pupil, limbus, usable = overlaps(network, held_out, options.seed)
    print(f"overlap on unseen scenes: pupil {pupil:.3f}, limbus {limbus:.3f}, usable {usable:.3f}")
    print(f"{sum(p.numel() for p in network.parameters())} parameters")
    export(network, options.out)


if __name__ == "__main__":
    main()
