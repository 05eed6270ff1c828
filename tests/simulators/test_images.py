"""Picture files laid on a simulated sensor: any mode and size, a clear error for the rest, centred on the ridges."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from drivers.sample import Modality, Position, Sample
from simulators.images import crop_or_pad, foreground, load_image, resample
from simulators.pictures.errors import ImageFileError
from tests.conftest import finger_encoder, impression_of

Pixels = NDArray[np.uint8]

WIDTH, HEIGHT, PPI = 256, 288, 500
PERIOD_PX = 9.0  # of ridges at 500 ppi
BLOB = (70.0, 90.0)  # half axes of the ridge blob, pixels at 500 ppi


def blob(width: int, height: int, middle: tuple[float, float], scale: float = 1.0, paper: int = 255) -> Pixels:
    """Upright ridges in an ellipse about `middle` (x, y) on bright paper, at `scale` times 500 ppi."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    ridges = 128 + 100 * np.cos(2 * np.pi * x / (PERIOD_PX * scale))
    inside = ((x - middle[0]) / (BLOB[0] * scale)) ** 2 + ((y - middle[1]) / (BLOB[1] * scale)) ** 2 <= 1
    return np.where(inside, ridges, paper).astype(np.uint8)


def middle_of(image: Pixels) -> tuple[float, float]:
    """Centre (x, y) of the box about everything that is darker than paper."""
    rows, columns = np.nonzero(image < 200)
    return (columns.min() + columns.max()) / 2, (rows.min() + rows.max()) / 2


def period_of(image: Pixels) -> float:
    """Pixels from ridge to ridge along the middle of the middle row, by the strongest frequency."""
    row = image[image.shape[0] // 2, image.shape[1] // 2 - 45 :][:90].astype(float)
    power = np.abs(np.fft.rfft(row - row.mean(), 4096))
    return float(1 / np.fft.rfftfreq(4096)[power.argmax()])


def saved(folder: Path, picture: Image.Image, name: str = "finger.png", **options: int | Image.Exif) -> Path:
    path = folder / name
    picture.save(path, None, **options)
    return path


GREY = blob(64, 48, (32, 24), scale=0.3)


@pytest.mark.parametrize("source_ppi", [0, -500, 1, 100_000, float("nan"), float("inf")])
def test_a_resolution_that_no_scanner_has_is_refused(source_ppi: float, tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(GREY))
    with pytest.raises(ImageFileError, match=r"finger.png must be 50 to 5000 ppi"):
        load_image(path, WIDTH, HEIGHT, PPI, source_ppi)


def test_a_picture_that_would_grow_too_large_is_refused_before_it_does(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.new("L", (4000, 100)))
    with pytest.raises(ImageFileError, match="40000x1000 at 500 ppi"):
        load_image(path, WIDTH, HEIGHT, PPI, 50)


# Size and place


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3), (16, 16)])
def test_a_tiny_picture_lies_in_the_middle_of_an_empty_sensor(size: tuple[int, int], tmp_path: Path) -> None:
    path = saved(tmp_path, Image.new("L", size, 40))
    shown = load_image(path, WIDTH, HEIGHT, PPI)
    assert shown.shape == (HEIGHT, WIDTH)
    rows, columns = np.nonzero(shown == 40)
    if shown.min() != shown.max():
        assert (rows.min() + rows.max() + 1) / 2 == pytest.approx(HEIGHT / 2, abs=0.5)
        assert (columns.min() + columns.max() + 1) / 2 == pytest.approx(WIDTH / 2, abs=0.5)


def test_a_picture_of_the_sensors_own_size_is_shown_untouched(tmp_path: Path) -> None:
    image = blob(WIDTH, HEIGHT, (90, 170))
    assert (load_image(saved(tmp_path, Image.fromarray(image)), WIDTH, HEIGHT, PPI) == image).all()


@pytest.mark.parametrize("middle", [(150, 180), (450, 160), (320, 410), (500, 400)])
def test_the_crop_is_centred_on_ridges_that_lie_off_the_middle(middle: tuple[int, int]) -> None:
    shown = crop_or_pad(blob(640, 560, middle), WIDTH, HEIGHT)
    assert middle_of(shown) == pytest.approx((WIDTH / 2, HEIGHT / 2), abs=6)


@pytest.mark.parametrize("levels", [5, 10, 20, 40, 255])
def test_a_faint_finger_is_read_from_the_sensor_if_it_is_read_from_the_file(levels: int) -> None:
    """The crop of the simulated sensor finds the ridges that the encoder finds in the whole picture."""
    picture = np.full((480, 640), 235, np.uint8)
    picture[20:308, 360:616] = impression_of(6, 1)
    faint = np.rint((255 - levels) / 2 + picture / 255 * levels).astype(np.uint8)
    whole, shown = (
        finger_encoder().assess(
            Sample(Modality.FINGER, Position.UNKNOWN, image, 8, 500.0, datetime(2026, 1, 1, tzinfo=UTC), "test")
        )
        for image in (faint, crop_or_pad(faint, WIDTH, HEIGHT))
    )
    assert whole.flaw is shown.flaw
    assert abs(whole.score - shown.score) <= 10
    assert (whole.score > 60) == (levels >= 10)


def test_a_smudge_at_the_edge_does_not_draw_the_crop_away() -> None:
    image = blob(640, 560, (200, 180))
    image[520:540, 600:630] = np.random.default_rng(3).integers(0, 255, (20, 30))
    assert middle_of(crop_or_pad(image, WIDTH, HEIGHT)) == pytest.approx((WIDTH / 2, HEIGHT / 2), abs=6)


def test_ridges_at_the_edge_of_the_picture_are_not_cut_and_no_paper_is_invented() -> None:
    image = blob(640, 560, (75, 95))
    assert (crop_or_pad(image, WIDTH, HEIGHT) == image[:HEIGHT, :WIDTH]).all()


def test_beyond_the_picture_the_sensor_is_as_bright_as_the_paper() -> None:
    shown = crop_or_pad(blob(160, 200, (80, 100), paper=211), WIDTH, HEIGHT)
    assert shown[0, 0] == shown[-1, -1] == 211
    dark = np.where(shown == 211, 255, shown).astype(np.uint8)
    assert middle_of(dark) == pytest.approx((WIDTH / 2, HEIGHT / 2), abs=2)


def test_a_picture_without_ridges_has_no_foreground_and_its_middle_is_shown() -> None:
    flat = np.full((600, 600), 200, np.uint8)
    flat[300, 300] = 0
    assert not foreground(np.full((60, 60), 128, np.uint8)).any()
    assert crop_or_pad(flat, WIDTH, HEIGHT)[HEIGHT // 2, WIDTH // 2] == 0


@pytest.mark.parametrize("source_ppi", [250, 500, 1000, 2000])
def test_ridges_are_as_far_apart_on_the_sensor_whatever_the_scanner(source_ppi: int, tmp_path: Path) -> None:
    scale = source_ppi / 500
    image = blob(round(300 * scale), round(320 * scale), (150 * scale, 160 * scale), scale)
    shown = load_image(saved(tmp_path, Image.fromarray(image)), WIDTH, HEIGHT, PPI, source_ppi)
    assert period_of(shown) == pytest.approx(PERIOD_PX, rel=0.03)


def test_a_sensor_of_another_resolution_sees_other_pixels_of_the_same_ridges(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(blob(300, 320, (150, 160))))
    assert period_of(load_image(path, 192, 192, 508)) == pytest.approx(PERIOD_PX * 508 / 500, rel=0.03)


def test_resampling_to_the_same_resolution_changes_nothing() -> None:
    assert resample(GREY, 1.0) is GREY


@settings(max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    seed=st.integers(0, 99),
)
def test_every_picture_fits_every_sensor(shape: tuple[int, int], size: tuple[int, int], seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    shown = crop_or_pad(image, *size)
    assert shown.shape == size[::-1]
    assert shown.dtype == np.uint8
