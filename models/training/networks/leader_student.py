"""Trains models/weights/leader_student.onnx: a small network that learns from LEADER, on synthetic fingerprints.

    python -m models.training.networks.leader_student --pictures DIR --out FILE

Needs torch (CPU is enough) and onnx, in a separate environment; models/README.md shows the commands.

LEADER spends most of its time on large images: normalisations, error functions and depthwise filters at half the
resolution. But its response to a minutia is a blob of a dozen pixels, so a quarter of the resolution is enough to
locate it, if the last step gives a value for each pixel. The student consists of plain convolutions, which run well on
any processor, most of them at a quarter of the resolution or less.
"""

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, IterableDataset

from models.finger.encoder import QUALITY_THRESHOLD
from models.training.networks.finger_pictures import SHARD, Batches, TrainingSet, batches, load_or_make

CHANNELS = (32, 64, 96, 128)  # at half the size of the image, a quarter, an eighth, a sixteenth
BATCH = 8
RATE = 2e-3
WARM_UP = 300  # steps in which the learning rate rises
KEPT_EVERY = 250  # steps between two checkpoints
MEAN_DECAY = 0.998  # decay of the running mean of the weights, which is shipped
OPSET = 17
HELD_OUT = 96  # images that are used only to measure the result
STEP = 4  # pixels of the image for one pixel of the maps, in each direction
CELLS = STEP * STEP
WEIGHTS = torch.tensor([4.0, 1.0, 0.3])  # of the errors of position, direction and kind
CELL = 8  # pixels: greys are normalised by the mean of 3x3 such cells, two to three ridges
FLAT = 3.0  # grey levels; deviations below are not amplified
GAUSSIAN_5 = torch.tensor([1.0, 4, 6, 4, 1]) / 16  # as in LEADER's last step
BLUR = torch.outer(GAUSSIAN_5, GAUSSIAN_5)[None, None]
NMS_SIZE = 7
TOLERANCE = 8  # pixels in each direction within which two minutiae count as the same


def _convolution(inward: int, outward: int, size: int = 3, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inward, outward, size, stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(outward),
        nn.ReLU(),
    ]


def normalised(x: Tensor) -> Tensor:
    """Normalises the grey by the local mean and deviation; f32[n, 1, h, w], sides multiples of 32.

    Sensors and skin differ most in contrast, also within an image, and contrast has no information about minutiae.
    """
    mean, square = (
        functional.avg_pool2d(functional.avg_pool2d(each, CELL), 3, 1, 1, count_include_pad=False)
        for each in (x, x * x)
    )
    share = torch.rsqrt((square - mean * mean).clamp(min=0) + FLAT * FLAT)
    around = functional.interpolate(torch.cat([mean, share], 1), scale_factor=float(CELL), mode="bilinear")
    return (x - around[:, :1]) * around[:, 1:]


class Residual(nn.Module):
    """Two convolutions, added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, last = _convolution(channels, channels), _convolution(channels, channels)
        self.inner = nn.Sequential(*first, *last[:2])

    def forward(self, x: Tensor) -> Tensor:
        """The same number of channels, the same size."""
        return functional.relu(x + self.inner(x))


class Student(nn.Module):
    """The network, without the functions at its end."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = CHANNELS
        self.stem = nn.Sequential(*_convolution(1, a, 5, 2), *_convolution(a, a), *_convolution(a, b, 3, 2))
        self.quarter = nn.Sequential(Residual(b))
        self.eighth = nn.Sequential(*_convolution(b, c, 3, 2), Residual(c), Residual(c))
        self.sixteenth = nn.Sequential(*_convolution(c, d, 3, 2), Residual(d), Residual(d))
        self.up_c, self.up_b = nn.Conv2d(d, c, 1), nn.Conv2d(c, b, 1)
        self.again_c = nn.Sequential(Residual(c))
        self.again_b = nn.Sequential(Residual(b))
        self.position = nn.Conv2d(b, CELLS, 3, padding=1)
        self.rest = nn.Conv2d(b, 3, 3, padding=1)  # cosine and sine of the direction, kind

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """f32[n, 1, h, w] grey 0..255 to logits f32[n, 1, h, w], and f32[n, 3, h / STEP, w / STEP]."""
        b = self.quarter(self.stem(normalised(x)))
        c = self.eighth(b)
        d = self.sixteenth(c)
        c = self.again_c(functional.relu(c + functional.interpolate(self.up_c(d), scale_factor=2.0)))
        b = self.again_b(functional.relu(b + functional.interpolate(self.up_b(c), scale_factor=2.0)))
        return functional.pixel_shuffle(self.position(b), STEP), self.rest(b)


def targets(planes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The planes of the teacher, u8[n, PLANES, h, w], as targets of the student.

    The position f32[n, 1, h, w]; direction (cosine, sine) and kind f32[n, 3, h / STEP, w / STEP], which are defined
    only where there is a minutia; and the weight of each of those f32[n, 1, h / STEP, w / STEP].
    """
    values = planes.float()
    heat, angle, kind = values[:, :1] / 255, values[:, 1:2] * (2 * torch.pi / 256), values[:, 2:] / 255
    count = functional.avg_pool2d(heat, STEP)
    maps = functional.avg_pool2d(heat * torch.cat([torch.cos(angle), torch.sin(angle), kind], 1), STEP) / (count + 1e-6)
    return heat, maps, count


def loss_of(position: Tensor, rest: Tensor, planes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The three errors: of position, direction and kind."""
    heat, maps, count = targets(planes)
    # With any weights, the cross-entropy is lowest where the output of the student equals that of the teacher.
    entropy = functional.binary_cross_entropy_with_logits(position, heat, reduction="none")
    floor = functional.binary_cross_entropy(heat, heat, reduction="none")
    weight = 1 + 3 * heat
    where = (weight * (entropy - floor)).sum() / weight.sum()
    off = functional.smooth_l1_loss(rest[:, :2], maps[:, :2], reduction="none", beta=0.1).sum(1, keepdim=True)
    direction = (count * off).sum() / count.sum().clamp(min=1)
    kinds = functional.binary_cross_entropy_with_logits(rest[:, 2:], maps[:, 2:].clamp(0, 1), reduction="none")
    return where, direction, (count * kinds).sum() / count.sum().clamp(min=1)


class Prefetched(IterableDataset[tuple[Tensor, Tensor]]):
    """Batches that are made in another process than the training."""

    def __init__(self, source: Batches) -> None:
        self._source = source

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for image, planes in self._source:
            yield torch.from_numpy(image), torch.from_numpy(planes)


def rate(step: int, steps: int) -> float:
    """The learning rate, relative to RATE: rises, then falls along half a cosine."""
    return min(1.0, step / WARM_UP) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))


class Training:
    """A network in training, with all that is needed to continue after an interruption."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.network = Student().to(memory_format=torch.channels_last)
        self.mean = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(MEAN_DECAY), use_buffers=True)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=RATE, weight_decay=1e-2)
        self.done = 0

    def step(self, image: Tensor, planes: Tensor, steps: int) -> Tensor:
        """Train with one batch. Returns the three errors."""
        for group in self.optimizer.param_groups:
            group["lr"] = RATE * rate(self.done, steps)
        # bfloat16: three times as fast on processors that multiply such matrices.
        with torch.autocast("cpu", torch.bfloat16):
            position, rest = self.network(image.contiguous(memory_format=torch.channels_last))
        errors = torch.stack(loss_of(position.float(), rest.float(), planes))
        self.optimizer.zero_grad()
        (errors * WEIGHTS).sum().backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.mean.update_parameters(self.network)
        self.done += 1
        return errors.detach()

    def _parts(self) -> dict[str, Any]:
        return {"network": self.network, "mean": self.mean, "optimizer": self.optimizer}

    def keep(self, path: Path) -> None:
        """Write a checkpoint. The old file stays complete until the new one is."""
        state = {name: part.state_dict() for name, part in self._parts().items()}
        unfinished = path.with_suffix(".part")
        torch.save(state | {"done": self.done}, unfinished)
        unfinished.replace(path)

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint. SystemExit if the file is not one."""
        try:
            state = torch.load(path, weights_only=True)
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
            self.done = int(state["done"])
        except Exception as error:  # noqa: BLE001 - torch raises many errors for other files
            reason = str(error).partition("\n")[0]
            raise SystemExit(
                f"{path}: is not a file that --kept has written ({reason}): remove it or name another"
            ) from None


def train(training_set: TrainingSet, steps: int, seed: int, kept: Path | None = None) -> Student:
    """Trains for `steps` steps, from the checkpoint `kept` if it exists; prints a line of progress every 100."""
    training = Training(seed)
    if kept is not None and kept.exists():
        training.resume(kept)
        print(f"{kept}: continues after {training.done} of {steps} steps", flush=True)
    source = batches(training_set, BATCH, np.random.default_rng([seed, training.done]))
    start, total, counted = time.monotonic(), torch.zeros(3), 0
    loader = iter(
        DataLoader(
            Prefetched(source), batch_size=None, num_workers=1, prefetch_factor=8, multiprocessing_context="fork"
        )
    )
    while training.done < steps:
        image, planes = next(loader)
        total += training.step(image, planes, steps)
        counted += 1
        if training.done % 100 == 0:
            where, direction, kind = (total / counted).tolist()
            errors = f"position {where:.4f}  direction {direction:.4f}  kind {kind:.4f}"
            print(f"{training.done:6d} of {steps}  {errors}  {time.monotonic() - start:.0f} s", flush=True)
            total, counted = torch.zeros(3), 0
        if kept is not None and (training.done % KEPT_EVERY == 0 or training.done == steps):
            training.keep(kept)
    learned = training.mean.module
    assert isinstance(learned, Student)
    return learned.eval()


def peaks(position: Tensor) -> Tensor:
    """The blurred position f32[n, 1, h, w] where it is the largest of its neighbourhood, else 0, as in LEADER."""
    blurred = functional.conv2d(position, BLUR, padding=2)
    largest = functional.max_pool2d(blurred, NMS_SIZE, 1, NMS_SIZE // 2)
    return torch.where(blurred == largest, blurred, torch.zeros_like(blurred))


def recall_and_precision(network: Student, training_set: TrainingSet) -> tuple[float, float]:
    """The share of the teacher's minutiae that the student finds, and of the student's that the teacher finds."""
    with torch.no_grad():
        position, _ = network(torch.from_numpy(training_set.images[:, None].astype(np.float32)))
        heat, _, _ = targets(torch.from_numpy(training_set.planes))
        expected, found = (peaks(each) >= QUALITY_THRESHOLD for each in (heat, torch.sigmoid(position)))
        return _near(expected, found), _near(found, expected)


def _near(these: Tensor, those: Tensor) -> float:
    """The share of these that have one of those within TOLERANCE pixels in each direction."""
    about = functional.max_pool2d(those.float(), 2 * TOLERANCE + 1, 1, TOLERANCE)
    return float((these.float() * about).sum() / these.sum())


class ExportedNetwork(nn.Module):
    """The network as models/finger/encoder.py uses it: its input and output are those of leader.onnx."""

    def __init__(self, network: Student) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """f32[n, h, w, 1] grey 0..255 to f32[n, h, w, 4]: position, direction, kind, quality at peaks."""
        n, h, w, _ = x.shape
        logits, rest = self.network(x.reshape(n, 1, h, w))
        position = torch.sigmoid(logits)
        rest = functional.interpolate(rest, scale_factor=float(STEP), mode="bilinear", align_corners=False)
        direction = torch.atan2(rest[:, 1:2], rest[:, :1])
        parts = [position, direction, torch.sigmoid(rest[:, 2:]), peaks(position)]
        return torch.cat(parts, 1).permute(0, 2, 3, 1)


def export(network: Student, path: Path) -> None:
    """Writes the graph that is shipped."""
    free = {0: "n", 1: "h", 2: "w"}
    torch.onnx.export(
        ExportedNetwork(network.to(memory_format=torch.contiguous_format)).eval(),
        (torch.zeros(1, 64, 96, 1),),
        str(path),
        input_names=["input"],
        output_names=["output"],
        dynamic_axes={"input": free, "output": free},
        opset_version=OPSET,
        dynamo=False,
    )


def main() -> None:
    """Make or load the images, train, measure, export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, required=True, help="folder of the images; kept between runs")
    parser.add_argument("--count", type=int, default=8000, help="images to make")
    parser.add_argument("--steps", type=int, default=9000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="more than one is slower on a busy machine")
    parser.add_argument("--workers", type=int, default=2, help="processes that make images")
    parser.add_argument("--kept", type=Path, help="checkpoint file to continue from after an interruption")
    options = parser.parse_args()
    for path in (options.out, options.kept):
        if path is not None and not path.absolute().parent.is_dir():
            parser.error(f"{path}: there is no folder {path.parent}: create it")
    if options.count < SHARD or options.steps < 1:
        parser.error(f"--count must be at least {SHARD}, --steps at least 1")
    torch.set_num_threads(options.threads)
    training_set = load_or_make(options.pictures, options.count, options.workers)
    learned = TrainingSet(training_set.images[HELD_OUT:], training_set.planes[HELD_OUT:])
    network = train(learned, options.steps, options.seed, options.kept)
    recall, precision = recall_and_precision(
        network, TrainingSet(training_set.images[:HELD_OUT], training_set.planes[:HELD_OUT])
    )
    print(
        f"on unseen images {recall:.3f} of the teacher's minutiae are found, and {precision:.3f} of those found are its"
    )
    print(f"{sum(p.numel() for p in network.parameters())} parameters")
    export(network, options.out)


if __name__ == "__main__":
    main()
