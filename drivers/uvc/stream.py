"""The stream of a bulk camera: start, payload after payload, recovery from a stall; and the thread that reads it.

FrameReader owns the link while it runs. The stream is read all the time so that no old frames queue up: a capture must
return what is in front of the camera now.
"""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from drivers.errors import Cancelled, LinkLost, ProtocolError, SensorError, Stalled, TransferTimeout, UsbMemoryFull
from drivers.usb.link import PendingRead, UsbLink
from drivers.uvc.emitter import ControlPort, Emitter, Led
from drivers.uvc.options import STATE_CONTENTS, StreamChoice
from drivers.uvc.payload import SLACK_BYTES, WRONG_SIZE, Assembler, RawFrame, StreamStatistics, begun_jpeg, exact_size
from drivers.uvc.probe_commit import CONTROL_S, FROM_INTERFACE, SET_CUR, TO_INTERFACE, negotiate

START_S = 3.0  # the maximum time from switching a sensor on to its first frame
SILENT_S = 1.0  # a stream without data for this long has stopped; a slow camera has its frame timeout
NO_FRAME_S = 3.0  # the maximum time without a whole frame, likewise
MAX_STALLS = 5  # stalls in a row
DEFAULT_PAYLOAD = 16_384  # bytes to read from a camera that does not report its payload size
LED_OFF_S = 0.5  # close() waits no longer for a camera that does not answer
# Reads in flight, so that the next payloads have a buffer while one is processed. Together they hold about two frames:
# Linux allows all programs together 16 MiB in flight (usbfs_memory_mb), and there may be several cameras.
FEWEST_READS, MIN_READS, MAX_READS = 2, 3, 8  # the fewest only if memory is short
MIN_IN_FLIGHT, MAX_IN_FLIGHT = 576 << 10, 3 << 20  # bytes; the largest are 8 ms at the full rate of USB 3
MIN_READ, MAX_READ = 16 << 10, 512 << 10  # bytes; larger payloads take several reads
LIFE_S = 3600.0  # timeout of a read in flight: result() limits the wait
POLL_S = 0.5  # how often a waiting capture checks its deadline; frames and errors wake it


OnFrame = Callable[[RawFrame], None]


def ignore_frame(_frame: RawFrame) -> None:
    """The default of `on_frame`: does nothing."""


class Stream:
    """The frames of one camera, read payload by payload by one thread. Raises SensorError and Cancelled."""

    def __init__(self, link: UsbLink, choice: StreamChoice, light: tuple[str, Led] | None = None) -> None:
        """`light`: the option that names the control of the light, and the control."""
        self.link = link
        self.choice = choice
        self._port = LinkPort(link, choice.stream.control_interface)
        self._emitter = None if light is None else Emitter(self._port, light[1], choice.stream.extensions, light[0])
        self._reads = deque[tuple[PendingRead, int]]()  # and their sizes
        self._stalls = 0
        self._read_timeout_s = START_S

    @property
    def statistics(self) -> StreamStatistics:
        """Counts so far."""
        return self._assembler.statistics

    def start(self) -> None:
        """Negotiates the stream and starts it."""
        interface = self.choice.stream.interface
        agreed = negotiate(self.link, interface, self.choice.stream.version, self.choice.requested)
        limit, packet = self.choice.frame_limit(agreed.max_frame), self.choice.stream.packet_bytes
        frame_bytes = self.choice.frame_bytes
        find_fault = exact_size(frame_bytes, limit) if frame_bytes else begun_jpeg
        self._assembler = Assembler(find_fault, limit=limit, packet_bytes=packet, keep=frame_bytes or None)
        self._payload_bytes = -(-(agreed.max_payload or DEFAULT_PAYLOAD) // packet) * packet
        largest = min(self._payload_bytes, limit + SLACK_BYTES, MAX_READ)  # no payload is larger than its frame
        self._read_bytes = -(-largest // packet) * packet
        in_flight = min(max(2 * limit, MIN_IN_FLIGHT), MAX_IN_FLIGHT)
        self._reads_in_flight = min(max(in_flight // self._read_bytes, MIN_READS), MAX_READS)
        if self._emitter is not None:
            self._emitter.on()
        self._last_frame_at = self.link.now() + START_S - NO_FRAME_S

    def step(self) -> list[RawFrame]:
        """Reads one payload; returns the frames that it completes. ProtocolError if the stream has stopped."""
        try:
            payload = self._next_payload()
        except Stalled:
            self._restart()
            return []
        except TransferTimeout:
            raise ProtocolError(f"the camera sent nothing for {self._read_timeout_s:g} s{self._damage()}") from None
        frames = self._assembler.feed(payload, self.link.now())
        self._check_progress(frames)
        return frames

    def _next_payload(self) -> bytes:
        """One payload: it ends with a short read, or at its maximum size."""
        payload, full = self._next_read()
        while full and len(payload) < self._payload_bytes:
            part, full = self._next_read()
            payload += part
        return payload

    def _next_read(self) -> tuple[bytes, bool]:
        """The bytes of the oldest read, and whether they fill it: then the payload continues in the next one."""
        while len(self._reads) < self._reads_in_flight:
            try:
                read = self.link.begin_read(self.choice.stream.endpoint, self._read_bytes, LIFE_S)
            except UsbMemoryFull:
                if not self._use_less_memory():
                    raise
            else:
                self._reads.append((read, self._read_bytes))
        oldest, size = self._reads.popleft()
        part = oldest.result(self._read_timeout_s)
        return part, len(part) == size

    def _use_less_memory(self) -> bool:
        """Goes on with the reads that are in flight; if they are too few, with smaller ones. False if neither helps."""
        if len(self._reads) >= FEWEST_READS or (self._reads and self._read_bytes <= MIN_READ):
            self._reads_in_flight = len(self._reads)
        elif self._read_bytes > MIN_READ:
            packet = self.choice.stream.packet_bytes
            self._read_bytes = max(self._read_bytes // 2 // packet, 1) * packet
        else:
            return False
        return True

    def _abandon(self) -> None:
        while self._reads:
            read, _ = self._reads.popleft()
            read.abandon()

    def _check_progress(self, frames: list[RawFrame]) -> None:
        now = self.link.now()
        self._read_timeout_s = max(SILENT_S, self.choice.frame_timeout_s)
        if frames:
            self._stalls, self._last_frame_at = 0, now
        elif now - self._last_frame_at > max(NO_FRAME_S, self.choice.frame_timeout_s):
            raise ProtocolError(f"the camera sends no whole frame{self._damage()}")

    def _damage(self) -> str:
        statistics = self.statistics
        if not statistics.damaged:
            return ""
        advice = STATE_CONTENTS if WRONG_SIZE in statistics.last_damage else ""
        return f" ({statistics.damaged} damaged frames, the last one: {statistics.last_damage}){advice}"

    def _restart(self) -> None:
        """Recovers from a halted endpoint: the data in flight are lost. Clears the halt and negotiates again."""
        self._stalls += 1
        if self._stalls > MAX_STALLS:
            raise ProtocolError(f"the camera refused {self._stalls} reads in a row: its endpoint keeps halting")
        self._assembler.reset("the endpoint halted")
        self._abandon()
        self.link.clear_halt(self.choice.stream.endpoint)
        negotiate(self.link, self.choice.stream.interface, self.choice.stream.version, self.choice.requested)

    def stop(self) -> None:
        """Ends a bulk stream (by clearing its halt) and switches the light off. Never raises."""
        self._abandon()
        _suppress_errors(lambda: self.link.clear_halt(self.choice.stream.endpoint))
        self._port.timeout_s = LED_OFF_S
        if self._emitter is not None:
            _suppress_errors(self._emitter.off)


class LinkPort:
    """The controls of extension units over a UsbLink, which must have claimed the control interface."""

    def __init__(self, link: UsbLink, interface: int) -> None:
        self._link = link
        self._interface = interface
        self.timeout_s = CONTROL_S

    def read(self, query: int, unit: int, selector: int, size: int) -> bytes:
        """A request that reads a control. ProtocolError if the camera refuses it."""
        index = unit << 8 | self._interface
        return self._link.control_in(FROM_INTERFACE, query, selector << 8, index, size, self.timeout_s)

    def write(self, unit: int, selector: int, data: bytes) -> None:
        """Writes a control. ProtocolError if the camera refuses it."""
        index = unit << 8 | self._interface
        self._link.control_out(TO_INTERFACE, SET_CUR, selector << 8, index, data, self.timeout_s)


_: type[ControlPort] = LinkPort


def _suppress_errors(action: Callable[[], None]) -> None:
    """Runs `action` and ignores its SensorError. A cancel left over from closing does not prevent it."""
    for _ in range(2):
        with suppress(SensorError):
            try:
                action()
            except Cancelled:
                continue
        return


class FrameReader:
    """Reads a stream in its own thread and keeps the newest frame. A sensor holds it in its Attachment."""

    def __init__(self, link: UsbLink, on_frame: OnFrame = ignore_frame) -> None:
        self.link = link
        self._on_frame = on_frame
        self._changed = threading.Condition()
        self._newest: RawFrame | None = None
        self._error: Exception | None = None
        self._cancelled = False
        self._closing = False
        self._stream: Stream | None = None
        self._thread: threading.Thread | None = None

    @property
    def statistics(self) -> StreamStatistics:
        """Counts of the stream so far."""
        return StreamStatistics() if self._stream is None else self._stream.statistics

    def start(self, stream: Stream) -> None:
        """Starts the stream and the thread that reads it. Only that thread uses the link until close()."""
        self._stream = stream
        stream.start()
        with self._changed:
            self._thread = threading.Thread(target=self._main, name=f"camera {self.link.identity}", daemon=True)
            self._thread.start()

    def frame_after(self, moment: float, deadline: float) -> RawFrame:
        """The newest whole frame that began after `moment`. ProtocolError if there is none before `deadline`.

        Both are seconds of the link's clock. Raises the error that ended the stream, and Cancelled after a cancel().
        """
        with self._changed:
            while not self._cancelled:
                if self._error is not None:
                    raise self._error
                if self._newest is not None and self._newest.began_at > moment:
                    return self._newest
                left = deadline - self.link.now()
                if left <= 0:
                    raise ProtocolError(f"no readable frame in time; {self.statistics.damaged} damaged ones")
                self._changed.wait(min(left, POLL_S))
            self._cancelled = False
            raise Cancelled("the wait for a frame")

    def check(self) -> None:
        """Raises the error that has ended the stream, if any. The thread notices a stream that stops."""
        with self._changed:
            if self._error is not None:
                raise self._error

    def cancel(self) -> None:
        """Ends the running or the next wait with Cancelled. The stream continues."""
        with self._changed:
            self._cancelled = self._thread is not None
            if not self._cancelled:
                self.link.cancel()
            self._changed.notify_all()

    def close(self) -> None:
        """Ends the thread and closes the link. Never raises; may be called twice."""
        with self._changed:
            self._closing = True
            thread, self._thread = self._thread, None
            self._error = self._error or LinkLost("closed")
            self._changed.notify_all()
        if thread is not None:
            self.link.cancel()  # its read may last until the next payload
            thread.join()
        self.link.close()

    def _main(self) -> None:
        stream = self._stream
        assert stream is not None
        try:
            while not self._closing:
                self._step(stream)
        except Exception as error:  # noqa: BLE001 - capture raises whatever ended the stream
            self._fail(error)
        stream.stop()

    def _step(self, stream: Stream) -> None:
        try:
            for frame in stream.step():
                self._keep(frame)
                self._on_frame(frame)
        except Cancelled:
            self._keep_cancel()

    def _keep(self, frame: RawFrame) -> None:
        with self._changed:
            self._newest = frame
            self._changed.notify_all()

    def _keep_cancel(self) -> None:
        """Keeps a cancel() that was meant for open() but came too late: it ends the next capture."""
        with self._changed:
            self._cancelled = not self._closing
            self._changed.notify_all()

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()
