"""The NB-1010-U driver: damaged images, lost answers, and the recording of a real unit."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from drivers.errors import Cancelled, CaptureRetry, LinkLost, ProtocolError, Retry, SensorError, TransferTimeout
from drivers.nb1010.driver import Nb1010
from drivers.nb1010.tables import CAPTURE, FINGER_CHECK, PRE_CAPTURE
from drivers.recordings.playback import Player
from drivers.recordings.recording import TITLE
from drivers.session import TOTAL_S
from drivers.usb.link import UsbLink
from simulators.sensors.nb1010.device import Nb1010Model, image_messages, reply, status
from simulators.transports.usb.port import HostTransfer
from tests.conftest import SHARED
from tests.rigs.nb1010_rig import URL, noise, press, sensor_on
from tests.rigs.umockdev import needs_umockdev
from tests.rigs.virtual_usb import VirtualUsb


def test_the_sensor_says_who_it_is(usb: VirtualUsb) -> None:
    info = sensor_on(usb).open()
    assert (info.model, info.serial, info.firmware) == ("NB-1010-U", "N1", "0001")
    assert (info.width, info.height, info.pixels_per_inch, info.depth_bits) == (256, 180, 385.0, 8)


def test_a_finger_is_looked_for_twenty_times_a_second(usb: VirtualUsb, model: Nb1010Model, sensor: Nb1010) -> None:
    usb.time.later(3.0, lambda: press(model, 1))
    before = model.commands[0x38]
    sensor.capture(10.0)
    assert 55 <= model.commands[0x38] - before <= 61


@pytest.mark.parametrize("fault", ["lost", "duplicate", "short", "long", "drop", "double", "garbage", "stall"])
def test_a_damaged_image_is_taken_again(usb: VirtualUsb, model: Nb1010Model, sensor: Nb1010, fault: str) -> None:
    expected = press(model, 2)
    model.faults.random.seed(1)
    place = {"packet": 40} if fault not in ("short", "long") else {}
    model.inject(fault, times=1, **place)
    for _ in range(20):
        try:
            image = sensor.capture(1.0).image
        except CaptureRetry:
            continue
        except ProtocolError:
            sensor.open()
        else:
            assert (image == expected).all()
            if not model.faults.pending():
                break
            model.lift()
            with pytest.raises(CaptureRetry):
                sensor.capture(0.0)
            expected = press(model, 3)
    assert not model.faults.pending()


def test_an_image_that_never_comes_is_asked_for_again(model: Nb1010Model, sensor: Nb1010) -> None:
    expected = press(model, 4)
    model.inject("capture_fail")
    with pytest.raises(CaptureRetry) as caught:
        sensor.capture(1.0)
    assert caught.value.reason is Retry.MOVED
    assert (sensor.capture(1.0).image == expected).all()


@pytest.mark.parametrize("seconds", [0.3, 0.55, 1.0, 2.9])
def test_an_answer_that_comes_late_is_skipped_and_the_check_repeated(
    model: Nb1010Model, sensor: Nb1010, seconds: float
) -> None:
    expected = press(model, 4)
    model.inject("late", at="data", packet=0, seconds=seconds)
    assert (sensor.capture(1.0).image == expected).all()
    model.lift()
    with pytest.raises(CaptureRetry) as caught:
        sensor.capture(0.0)
    assert caught.value.reason is Retry.NOTHING_PRESENTED


@pytest.mark.parametrize("fault", ["garbage", "drop", "double", "flip", "lost", "stall", "duplicate"])
def test_a_damaged_contact_check_is_taken_again(model: Nb1010Model, sensor: Nb1010, fault: str) -> None:
    expected = press(model, 4)
    model.faults.random.seed(2)
    model.inject(fault, packet=0)
    assert (sensor.capture(1.0).image == expected).all()
    assert model.commands[0x12] == 1


def test_an_answer_that_came_twice_is_not_taken_for_that_to_the_next_order(model: Nb1010Model, sensor: Nb1010) -> None:
    with pytest.raises(CaptureRetry):
        sensor.capture(0.0)
    model.inject("duplicate", packet=0)
    expected = press(model, 5)
    assert (sensor.capture(1.0).image == expected).all()


def test_a_finger_that_only_an_answer_of_before_tells_of_is_none(
    usb: VirtualUsb, model: Nb1010Model, sensor: Nb1010
) -> None:
    """Every answer is late by one: the contact check reports a finger that has just left."""
    model.inject("duplicate", packet=0)
    usb.time.later(0.12, lambda: press(model, 4))
    usb.time.later(0.16, model.lift)
    with pytest.raises(CaptureRetry) as caught:
        sensor.capture(1.0)
    assert caught.value.reason is Retry.NOTHING_PRESENTED
    assert model.commands[0x12] == 0


def test_a_sensor_that_becomes_silent_is_a_timeout_after_one_more_check(model: Nb1010Model, sensor: Nb1010) -> None:
    before = model.commands[0x38]
    model.inject("silent")
    with pytest.raises(TransferTimeout):
        sensor.capture(1.0)
    assert model.commands[0x38] - before <= 2


def test_a_sensor_that_sends_two_answers_to_each_check_is_a_protocol_error(model: Nb1010Model, sensor: Nb1010) -> None:
    press(model, 4)
    model.inject("garbage", packet=0)
    model.inject("duplicate", packet=0, times=6)
    with pytest.raises(ProtocolError, match="sends more answers than commands"):
        sensor.capture(1.0)


def test_unread_data_without_end_is_a_protocol_error(usb: VirtualUsb, model: Nb1010Model, sensor: Nb1010) -> None:
    wire = model._wire
    assert wire is not None

    def send_again() -> None:
        wire.send(0x83, status(1, 0))
        usb.time.later(0.05, send_again)

    usb.time.later(0.1, sensor.cancel)
    with pytest.raises(Cancelled):
        sensor.capture(1.0)
    sensor.close()
    send_again()
    with pytest.raises(ProtocolError, match="sends data without end; unplug it"):
        sensor.open()


def test_a_command_with_the_answer_to_another_one_three_times_is_a_protocol_error(
    usb: VirtualUsb, model: Nb1010Model, sensor: Nb1010
) -> None:
    press(model, 4)
    submit, wire = usb.port.submit, model._wire
    assert wire is not None

    def submit_with_another_answer(transfer: HostTransfer) -> None:
        if transfer.data == PRE_CAPTURE.message:
            wire.send(0x83, status(1, 0xF7))
        submit(transfer)

    usb.port.submit = submit_with_another_answer  # type: ignore[method-assign]
    with pytest.raises(ProtocolError, match="pre-capture: another message in place of 8020"):
        sensor.capture(1.0)
    assert model.commands[0x0D] == 3


def test_a_wait_for_the_lift_polls_until_the_time_is_up(model: Nb1010Model, sensor: Nb1010) -> None:
    press(model, 4)
    sensor.capture(1.0)
    with pytest.raises(CaptureRetry) as caught:
        sensor.capture(0.5)
    assert caught.value.reason is Retry.LIFT_FINGER


def test_what_another_program_left_unread_is_passed_over(usb: VirtualUsb, model: Nb1010Model) -> None:
    link = usb.open_link()
    link.write(0x02, CAPTURE.message, 1.0)
    usb.time.run(lambda: False, 0.1)
    link.close()
    sensor = sensor_on(usb)
    sensor.open()
    expected = press(model, 5)
    assert (sensor.capture(1.0).image == expected).all()


def test_cancel_amid_an_image_leaves_the_next_one_whole(model: Nb1010Model) -> None:
    usb = VirtualUsb(model, bytes_per_s=54_000)
    sensor = sensor_on(usb)
    sensor.open()
    for number in range(5):
        expected = press(model, number)
        usb.time.later(0.15 * number + 0.01, sensor.cancel)
        with pytest.raises(Cancelled):
            sensor.capture(1.0)
        assert (sensor.capture(1.0).image == expected).all()
        model.lift()
        with pytest.raises(CaptureRetry):
            sensor.capture(0.0)


def test_another_device_under_the_same_id_is_a_protocol_error(usb: VirtualUsb, model: Nb1010Model) -> None:
    model.inject("wrong_device")
    with pytest.raises(ProtocolError):
        sensor_on(usb).open()


@pytest.mark.parametrize("url", ["usb:05ba:000a", "serial:/dev/ttyUSB0", "usb:298d", "usbip://example.org/1-1"])
def test_a_url_of_something_else_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=url.removeprefix("usb:")[:5]):
        Nb1010(url, {})


FAULTS = st.sampled_from(
    [
        "lost", "duplicate", "short", "long", "drop", "double", "garbage", "flip", "stall", "late", "slow", "silent",
        "wrong_device", "capture_fail", "stuck", "unplug",
    ]
)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32 - 1), st.lists(st.tuples(FAULTS, st.floats(0, 3)), max_size=6))
def test_whatever_goes_wrong_only_the_four_families_come_out_and_it_mends(
    seed: int, script: list[tuple[str, float]]
) -> None:
    model = Nb1010Model(seed=seed)
    usb = VirtualUsb(model, bytes_per_s=1_000_000)
    sensor = sensor_on(usb)
    for name, when in script:
        usb.time.later(when, lambda name=name: model.inject(name))  # type: ignore[misc]
    attempt(sensor.open)
    for number in range(6):
        usb.time.later(0.2, lambda number=number: press(model, number))  # type: ignore[misc]
        began = usb.time.now()
        attempt(lambda: sensor.capture(1.0))
        assert usb.time.now() - began < 1.0 + 5.0 + 90 * 0.5
        model.lift()
    usb.time.run(lambda: False, 4.0)  # the script is over
    model.faults.clear()
    model.lift()
    usb.replug()
    sensor.open()
    expected = press(model, 99)
    assert (sensor.capture(1.0).image == expected).all()
    sensor.close()
    assert usb.claims == 0


def attempt(action: Callable[[], object]) -> None:
    try:
        action()
    except (CaptureRetry, SensorError):
        return


def test_a_sensor_that_is_gone_is_a_lost_link(usb: VirtualUsb, sensor: Nb1010) -> None:
    usb.unplug()
    with pytest.raises(LinkLost):
        sensor.capture(1.0)


def test_any_link_will_do() -> None:
    def refuse(_: object) -> UsbLink:
        raise LinkLost("nothing there")

    with pytest.raises(LinkLost, match="nothing there"):
        Nb1010(URL, {}, connect=refuse).open()


def traffic(image: np.ndarray[tuple[int, int], np.dtype[np.uint8]], level: int = 0xF7) -> list[str]:
    """The traffic of another driver with a sensor: one contact check, the two commands, the image."""
    exchanges = [(FINGER_CHECK, status(1, level)), (PRE_CAPTURE, reply(3)), (CAPTURE, reply(4, 3))]
    lines = [
        "open =",
        "identity vendor=10637 product=4112 serial= port=1-1 bcd_device=1 speed=full =",
        "configuration =",
    ]
    for command, answer in exchanges:
        lines += [f"write 02 {command.message.hex()} =", f"read 83 16 = {answer.hex()}"]
    lines += [f"read 83 540 = {message.hex()}" for message in image_messages(image.tobytes())]
    head = [TITLE, "driver nb1010", f"url {URL}"]
    return [*head, *(f"{number / 1000:.6f} {line}" for number, line in enumerate(lines))]


def test_a_session_of_one_contact_check_is_played_in_its_order_and_nothing_more_is_asked() -> None:
    expected = noise(6)
    player = Player(traffic(expected))
    sensor = player.sensor()
    sensor.open()
    assert (sensor.capture(1.0).image == expected).all()
    sensor.close()
    assert player.remaining == 0


def test_the_finger_that_open_measured_is_looked_for_again_when_time_has_passed(
    usb: VirtualUsb, model: Nb1010Model
) -> None:
    press(model, 1)
    sensor = sensor_on(usb)
    sensor.open()
    model.lift()
    usb.time.run(lambda: False, 0.1)
    with pytest.raises(CaptureRetry) as caught:
        sensor.capture(0.0)
    assert caught.value.reason is Retry.NOTHING_PRESENTED


def test_the_contact_check_of_open_counts_for_one_capture(usb: VirtualUsb, model: Nb1010Model) -> None:
    press(model, 1)
    sensor = sensor_on(usb)
    sensor.open()
    sensor.capture(0.0)
    assert model.commands[0x38] == 1
    model.lift()
    with pytest.raises(CaptureRetry):
        sensor.capture(0.0)


REPLAY = """
import sys
import numpy as np
from drivers.nb1010.driver import Nb1010
sensor = Nb1010("usb:298d:1010", {})
print(sensor.open())
np.save(sys.argv[1], sensor.capture(1.0).image)
sensor.close()
"""


@pytest.mark.shared
@needs_umockdev
def test_the_recording_of_a_real_unit_gives_the_image_of_the_reference_driver(tmp_path: object) -> None:
    recording = SHARED / "recordings" / "nb1010"
    out = f"{tmp_path}/image.npy"
    subprocess.run(
        [
            "umockdev-run",
            "-d",
            str(recording / "device"),
            "-i",
            f"/dev/bus/usb/001/003={recording / 'capture.ioctl'}",
            "--",
            sys.executable,
            "-c",
            REPLAY,
            out,
        ],
        check=True,
        timeout=30,
    )
    reference = np.asarray(Image.open(recording / "capture.png").convert("L"))
    assert np.count_nonzero(np.load(out) != reference) == 0


def test_a_sensor_whose_messages_come_slowly_ends_open_and_capture_before_the_watchdog(
    model: Nb1010Model, usb: VirtualUsb, sensor: Nb1010
) -> None:
    model.press(bytes(180 * 256))
    model.faults.inject("slow", seconds=0.45)
    began = usb.time.seconds
    with suppress(SensorError, CaptureRetry):
        sensor.open()
        began = usb.time.seconds
        sensor.capture(5)
    assert usb.time.seconds - began <= 5 + TOTAL_S + 5


def test_a_sensor_that_answers_too_late_again_and_again_has_one_time_limit(
    model: Nb1010Model, usb: VirtualUsb, sensor: Nb1010, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivers.nb1010.driver.TOTAL_S", 0.3)
    model.faults.inject("slow", seconds=0.45)
    model.press(bytes(180 * 256))
    with pytest.raises(ProtocolError, match=r"not finished after 0.7 s: data come too slowly"):
        sensor.capture(0.4)
    assert usb.time.seconds < 1.5
