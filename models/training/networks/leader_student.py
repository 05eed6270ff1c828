"""Trains models/weights/leader_student.onnx: a small network learns from synthetic people what LEADER sees.

    python -m models.training.networks.leader_student --pictures DIR --out FILE

Needs torch (CPU is enough) and onnx, in an environment of their own; models/README.md shows the commands.

LEADER spends its time where images are large: normalisations, error functions and depthwise filters at half the
resolution. But a minutia is a blob of a dozen pixels to it, so a quarter of the resolution is enough to say where it
is, if the last step says it for each pixel. The student is plain convolutions, which any processor runs well, most of
them at a quarter and less.
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
from models.training.networks.finger_pictures import SHARD, Batches, Pictures, batches, load_or_make

CHANNELS = (32, 64, 96, 128)  # at half the size of the picture, a quarter, an eighth, a sixteenth
BATCH = 8
RATE = 2e-3
WARMING = 300  # steps in which the rate rises
KEPT_EVERY = 250  # steps
MEMORY = 0.998  # of the running mean of the weights, which is what ships
OPSET = 17
HELD_OUT = 96
STEP = 4  # pixels of the picture in one of the maps, each way
CELLS = STEP * STEP
WEIGHTS = torch.tensor([4.0, 1.0, 0.3])  # of the errors of position, direction and kind
CELL = 8  # pixels: greys are levelled by the mean of 3x3 such cells, two to three ridges
FLAT = 3.0  # grey levels of swing, below which there is nothing to level
GAUSSIAN_5 = torch.tensor([1.0, 4, 6, 4, 1]) / 16  # as in LEADER's last step
BLUR = torch.outer(GAUSSIAN_5, GAUSSIAN_5)[None, None]
NMS_SIZE = 7
TOLERANCE = 8  # pixels each way within which two minutiae are one


def _convolution(inward: int, outward: int, size: int = 3, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inward, outward, size, stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(outward),
        nn.ReLU(),
    ]


def levelled(x: Tensor) -> Tensor:
    """Grey against the mean grey about it, in units of how much it swings there; f32[n, 1, h, w], sides of 32s.

    Sensors and skin differ most in contrast, within a picture too, and it says nothing of minutiae.
    """
    mean, square = (
        functional.avg_pool2d(functional.avg_pool2d(each, CELL), 3, 1, 1, count_include_pad=False)
        for each in (x, x * x)
    )
    share = torch.rsqrt((square - mean * mean).clamp(min=0) + FLAT * FLAT)
    around = functional.interpolate(torch.cat([mean, share], 1), scale_factor=float(CELL), mode="bilinear")
    return (x - around[:, :1]) * around[:, 1:]


class Residual(nn.Module):
    """Two convolutions, added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, last = _convolution(channels, channels), _convolution(channels, channels)
        self.inner = nn.Sequential(*first, *last[:2])

    def forward(self, x: Tensor) -> Tensor:
        """As many channels, the same size."""
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
        b = self.quarter(self.stem(levelled(x)))
        c = self.eighth(b)
        d = self.sixteenth(c)
        c = self.again_c(functional.relu(c + functional.interpolate(self.up_c(d), scale_factor=2.0)))
        b = self.again_b(functional.relu(b + functional.interpolate(self.up_b(c), scale_factor=2.0)))
        return functional.pixel_shuffle(self.position(b), STEP), self.rest(b)


def targets(planes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the teacher said, u8[n, PLANES, h, w], as the student is asked for it.

    The position f32[n, 1, h, w]; direction (cosine, sine) and kind f32[n, 3, h / STEP, w / STEP], which mean something
    only where there is a minutia; and how much each of those counts f32[n, 1, h / STEP, w / STEP].
    """
    said = planes.float()
    heat, angle, kind = said[:, :1] / 255, said[:, 1:2] * (2 * torch.pi / 256), said[:, 2:] / 255
    count = functional.avg_pool2d(heat, STEP)
    maps = functional.avg_pool2d(heat * torch.cat([torch.cos(angle), torch.sin(angle), kind], 1), STEP) / (count + 1e-6)
    return heat, maps, count


def loss_of(position: Tensor, rest: Tensor, planes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The three errors: of position, direction and kind."""
    heat, maps, count = targets(planes)
    # However it is weighed, the cross-entropy is least where the student says what the teacher said.
    entropy = functional.binary_cross_entropy_with_logits(position, heat, reduction="none")
    floor = functional.binary_cross_entropy(heat, heat, reduction="none")
    weight = 1 + 3 * heat
    where = (weight * (entropy - floor)).sum() / weight.sum()
    off = functional.smooth_l1_loss(rest[:, :2], maps[:, :2], reduction="none", beta=0.1).sum(1, keepdim=True)
    direction = (count * off).sum() / count.sum().clamp(min=1)
    kinds = functional.binary_cross_entropy_with_logits(rest[:, 2:], maps[:, 2:].clamp(0, 1), reduction="none")
    return where, direction, (count * kinds).sum() / count.sum().clamp(min=1)


class Prefetched(IterableDataset[tuple[Tensor, Tensor]]):
    """Batches made in a process beside the one that learns."""

    def __init__(self, source: Batches) -> None:
        self._source = source

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for image, planes in self._source:
            yield torch.from_numpy(image), torch.from_numpy(planes)


def rate(step: int, steps: int) -> float:
    """Of learning, against RATE: rises, then falls along half a cosine."""
    return min(1.0, step / WARMING) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))


class Lesson:
    """A network that learns, and all that is needed to go on after an interruption."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.network = Student().to(memory_format=torch.channels_last)
        self.mean = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(MEMORY), use_buffers=True)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=RATE, weight_decay=1e-2)
        self.done = 0

    def step(self, image: Tensor, planes: Tensor, steps: int) -> Tensor:
        """Learn from one batch; the three errors."""
        for group in self.optimizer.param_groups:
            group["lr"] = RATE * rate(self.done, steps)
        # Half the bits: three times as fast on processors that multiply matrices of them.
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
        """Write down where it stands, the old file whole until the new one is."""
        state = {name: part.state_dict() for name, part in self._parts().items()}
        unfinished = path.with_suffix(".part")
        torch.save(state | {"done": self.done}, unfinished)
        unfinished.replace(path)

    def go_on(self, path: Path) -> None:
        """Read where it stood."""
        try:
            state = torch.load(path, weights_only=True)
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
            self.done = int(state["done"])
        except Exception as error:  # noqa: BLE001 - torch raises of everything at files of others
            reason = str(error).partition("\n")[0]
            raise SystemExit(f"{path}: is not what --kept has written ({reason}): remove it or name another") from None


def train(pictures: Pictures, steps: int, seed: int, kept: Path | None = None) -> Student:
    """Learn for so many steps, from where `kept` stands if it is there; a line of progress every hundred."""
    lesson = Lesson(seed)
    if kept is not None and kept.exists():
        lesson.go_on(kept)
        print(f"{kept}: goes on after {lesson.done} of {steps} steps", flush=True)
    source = batches(pictures, BATCH, np.random.default_rng([seed, lesson.done]))
    start, total, counted = time.monotonic(), torch.zeros(3), 0
    loader = iter(
        DataLoader(
            Prefetched(source), batch_size=None, num_workers=1, prefetch_factor=8, multiprocessing_context="fork"
        )
    )
    while lesson.done < steps:
        image, planes = next(loader)
        total += lesson.step(image, planes, steps)
        counted += 1
        if lesson.done % 100 == 0:
            where, direction, kind = (total / counted).tolist()
            errors = f"place {where:.4f}  direction {direction:.4f}  kind {kind:.4f}"
            print(f"{lesson.done:6d} of {steps}  {errors}  {time.monotonic() - start:.0f} s", flush=True)
            total, counted = torch.zeros(3), 0
        if kept is not None and (lesson.done % KEPT_EVERY == 0 or lesson.done == steps):
            lesson.keep(kept)
    learned = lesson.mean.module
    assert isinstance(learned, Student)
    return learned.eval()


def peaks(position: Tensor) -> Tensor:
    """The blurred position f32[n, 1, h, w] where it is the largest of its neighbourhood, else 0, as in LEADER."""
    blurred = functional.conv2d(position, BLUR, padding=2)
    largest = functional.max_pool2d(blurred, NMS_SIZE, 1, NMS_SIZE // 2)
    return torch.where(blurred == largest, blurred, torch.zeros_like(blurred))


def agreement(network: Student, pictures: Pictures) -> tuple[float, float]:
    """The share of the teacher's minutiae that the student finds, and of the student's that is the teacher's."""
    with torch.no_grad():
        position, _ = network(torch.from_numpy(pictures.images[:, None].astype(np.float32)))
        heat, _, _ = targets(torch.from_numpy(pictures.planes))
        said, found = (peaks(each) >= QUALITY_THRESHOLD for each in (heat, torch.sigmoid(position)))
        return _near(said, found), _near(found, said)


def _near(these: Tensor, those: Tensor) -> float:
    """The share of these that have one of those within TOLERANCE pixels each way."""
    about = functional.max_pool2d(those.float(), 2 * TOLERANCE + 1, 1, TOLERANCE)
    return float((these.float() * about).sum() / these.sum())


class Shipped(nn.Module):
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
    """Write the graph that ships."""
    free = {0: "n", 1: "h", 2: "w"}
    torch.onnx.export(
        Shipped(network.to(memory_format=torch.contiguous_format)).eval(),
        (torch.zeros(1, 64, 96, 1),),
        str(path),
        input_names=["input"],
        output_names=["output"],
        dynamic_axes={"input": free, "output": free},
        opset_version=OPSET,
        dynamo=False,
    )


def main() -> None:
    """Make or load the pictures, train, say how well, export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, required=True, help="folder, made if need be, kept between runs")
    parser.add_argument("--count", type=int, default=8000, help="pictures to make")
    parser.add_argument("--steps", type=int, default=9000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="more than one wait for each other on a busy machine")
    parser.add_argument("--workers", type=int, default=2, help="processes that make pictures")
    parser.add_argument("--kept", type=Path, help="file to go on from after an interruption")
    asked = parser.parse_args()
    for path in (asked.out, asked.kept):
        if path is not None and not path.absolute().parent.is_dir():
            parser.error(f"{path}: there is no folder {path.parent}: make it")
    if asked.count < SHARD or asked.steps < 1:
        parser.error(f"--count is at least {SHARD}, --steps at least 1")
    torch.set_num_threads(asked.threads)
    pictures = load_or_make(asked.pictures, asked.count, asked.workers)
    learned = Pictures(pictures.images[HELD_OUT:], pictures.planes[HELD_OUT:])
    network = train(learned, asked.steps, asked.seed, asked.kept)
    recall, precision = agreement(network, Pictures(pictures.images[:HELD_OUT], pictures.planes[:HELD_OUT]))
    print(
        f"on unseen pictures {recall:.3f} of the teacher's minutiae, and {precision:.3f} of its own are the teacher's"
    )
    print(f"{sum(p.numel() for p in network.parameters())} parameters")
    export(network, asked.out)


if __name__ == "__main__":
    main()
