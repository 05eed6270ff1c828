"""Where the images of a frame begin and end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.uvc.jpeg import MAX_IMAGES, Extent, images
from tests.rigs.uvc_bytes import jpeg

FILE, SMALL = jpeg(), jpeg(16, 12)


def test_an_image_ends_behind_its_end_marker() -> None:
    assert list(images(FILE)) == [Extent(0, len(FILE), ended=True, scans=1)]
    assert list(images(FILE + b"\0\xff\xd9")) == [Extent(0, len(FILE), ended=True, scans=1)]


def test_all_images_of_a_frame_are_found() -> None:
    found = list(images(b"junk" + SMALL + b"\xff\xd8" + FILE + SMALL[:-2]))
    assert [(extent.ended, extent.scans) for extent in found] == [(True, 1), (True, 1), (False, 1)]
    begin = 4 + len(SMALL) + 2
    assert (found[1].begin, found[1].end) == (begin, begin + len(FILE))


@pytest.mark.parametrize("data", [b"", b"\xff", b"\xff\xd8", bytes(100), b"\xff" * 100])
def test_without_a_beginning_there_is_no_image(data: bytes) -> None:
    assert list(images(data)) == []


@pytest.mark.parametrize("data", [b"\xff\xd8\xff", b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xe0\0", b"\xff\xd8\xff\xe0\0\0"])
def test_an_image_that_is_cut_short_lasts_to_the_end_of_the_data(data: bytes) -> None:
    assert list(images(data)) == [Extent(0, len(data), ended=False, scans=0)]


def test_a_frame_full_of_beginnings_is_given_up() -> None:
    assert len(list(images(b"\xff\xd8\xff\xd9" * 1000))) == MAX_IMAGES


@given(
    st.lists(st.sampled_from([b"\xff", b"\xd8", b"\xd9", b"\xda", b"\0", b"\xd0", b"\x02", FILE, SMALL]), max_size=40)
)
def test_images_follow_one_another_within_the_data(parts: list[bytes]) -> None:
    data, last = b"".join(parts), 0
    for extent in images(data):
        assert last <= extent.begin < extent.end <= len(data)
        last = extent.end


def test_markers_without_a_body_are_stepped_over() -> None:
    data = FILE[:2] + b"\xff\x01\xff\xd0" + FILE[2:]
    assert list(images(data)) == [Extent(0, len(data), ended=True, scans=1)]
