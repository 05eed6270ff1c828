"""A bulk camera that streams: start, one payload after another, what to do about a stall; and the thread that reads on.

FrameReader owns the link while it runs: what a person does now is in the frames that come from now on, and only a
stream that is read all the time has no old ones queued up.
"""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from drivers.errors import Cancelled, LinkLost, ProtocolError, SensorError, Stalled, TransferTimeout
from drivers.usb.link import PendingRead, UsbLink
from drivers.uvc.options import Choice, Led
from drivers.uvc.payload import Assembler, RawFrame, Tally, exactly, whole_jpeg
from drivers.uvc.probe_commit import CONTROL_S, SET_CUR, TO_INTERFACE, negotiate

START_S = 3.0  # a sensor that is switched on takes so long at most until its first frame
SILENT_S = 1.0  # a stream that brings nothing for so long has stopped; slow ones have until a frame is overdue
USELESS_S = 3.0  # as long without one whole frame
STALLS_IN_A_ROW = 5
USUAL_PAYLOAD = 16_384  # read at once from a camera that does not say how much it sends at once
PUT_OUT_S = 0.5  # close() waits no longer for a camera that does not listen
READS_IN_FLIGHT = 8  # while one payload is looked at, the next ones have somewhere to go
LARGEST_READ = 1 << 20  # larger payloads take several: Linux lets all programs have 16 MiB in flight (usbfs_memory_mb)
LIFE_S = 3600.0  # of a read in flight: result() bounds the wait
POLL_S = 0.5  # a waiting capture looks at its deadline; frames and errors wake it


OnFrame = Callable[[RawFrame], None]


def ignore(_frame: RawFrame) -> None:
    """Nobody wants to hear of every frame."""


class Stream:
    """The frames of one camera, pulled payload by payload, by one thread. Raises SensorError and Cancelled."""

    def __init__(self, link: UsbLink, choice: Choice, led: Led | None = None) -> None:
        self.link = link
        self.choice = choice
        self._led = led
        self._reads = deque[PendingRead]()
        self._stalls = 0
        self._patience = START_S

    @property
    def tally(self) -> Tally:
        """What has come so far."""
        return self._assembler.tally

    def start(self) -> None:
        """Agree on the stream and let it begin."""
        interface = self.choice.stream.interface
        agreed = negotiate(self.link, interface, self.choice.stream.version, self.choice.wish)
        limit, packet = self.choice.frame_limit(agreed.max_frame), self.choice.stream.packet_bytes
        exact = self.choice.exact
        sound = exactly(exact, limit) if exact else whole_jpeg
        self._assembler = Assembler(sound, limit=limit, packet_bytes=packet, keep=exact or None)
        self._payload_bytes = -(-(agreed.max_payload or USUAL_PAYLOAD) // packet) * packet
        self._read_bytes = min(self._payload_bytes, LARGEST_READ // packet * packet)
        self._switch(on=True)
        self._alive_at = self.link.now() + START_S - USELESS_S

    def step(self) -> list[RawFrame]:
        """Take one payload; return the frames that it completes. ProtocolError: the stream has stopped."""
        try:
            payload = self._next_payload()
        except Stalled:
            self._restart()
            return []
        except TransferTimeout:
            raise ProtocolError(f"the camera sent nothing for {self._patience:g} s{self._damage()}") from None
        frames = self._assembler.feed(payload, self.link.now())
        self._judge(frames)
        return frames

    def _next_payload(self) -> bytes:
        """One payload: it ends with a short read, or where no more can come of it."""
        payload = self._next_read()
        while len(payload) < self._payload_bytes and payload and not len(payload) % self._read_bytes:
            part = self._next_read()
            payload += part
            if not part:
                break
        return payload

    def _next_read(self) -> bytes:
        while len(self._reads) < READS_IN_FLIGHT:
            self._reads.append(self.link.begin_read(self.choice.stream.endpoint, self._read_bytes, LIFE_S))
        return self._reads.popleft().result(self._patience)

    def _abandon(self) -> None:
        while self._reads:
            self._reads.popleft().abandon()

    def _judge(self, frames: list[RawFrame]) -> None:
        now = self.link.now()
        self._patience = max(SILENT_S, self.choice.late_s)
        if frames:
            self._stalls, self._alive_at = 0, now
        elif now - self._alive_at > max(USELESS_S, self.choice.late_s):
            raise ProtocolError(f"the camera sends no whole frame{self._damage()}")

    def _damage(self) -> str:
        tally = self.tally
        return f" ({tally.damaged} damaged frames, the last one: {tally.last_damage})" if tally.damaged else ""

    def _restart(self) -> None:
        """The endpoint has halted: what was on its way is lost. Clear the halt and commit anew."""
        self._stalls += 1
        if self._stalls > STALLS_IN_A_ROW:
            raise ProtocolError(f"the camera refused {self._stalls} reads in a row: its endpoint keeps halting")
        self._assembler.reset("the endpoint halted")
        self._abandon()
        self.link.clear_halt(self.choice.stream.endpoint)
        negotiate(self.link, self.choice.stream.interface, self.choice.stream.version, self.choice.wish)

    def stop(self) -> None:
        """End a bulk stream, which is to clear its halt, and put out the light. Never raises."""
        self._abandon()
        _quietly(lambda: self.link.clear_halt(self.choice.stream.endpoint))
        _quietly(lambda: self._switch(on=False))

    def _switch(self, *, on: bool) -> None:
        if self._led is None:
            return
        index = self._led.unit << 8 | self.choice.stream.control_interface
        data = self._led.on if on else self._led.off
        timeout = CONTROL_S if on else PUT_OUT_S
        try:
            self.link.control_out(TO_INTERFACE, SET_CUR, self._led.selector << 8, index, data, timeout)
        except Stalled:
            raise ProtocolError(f"option 'led': the camera refuses it; {self._units()}") from None

    def _units(self) -> str:
        """Its extension units, for whoever has to correct the option."""
        units = ", ".join(str(extension.unit) for extension in self.choice.stream.extensions)
        return f"its extension units: {units}" if units else "it has no extension unit"


def _quietly(action: Callable[[], None]) -> None:
    """Do it if it can be done; a cancel that is left over from closing does not prevent it."""
    for _ in range(2):
        with suppress(SensorError):
            try:
                action()
            except Cancelled:
                continue
        return


class FrameReader:
    """Reads a stream in a thread of its own and keeps its newest frame. What a sensor holds in its Attachment."""

    def __init__(self, link: UsbLink, on_frame: OnFrame = ignore) -> None:
        self.link = link
        self._on_frame = on_frame
        self._news = threading.Condition()
        self._newest: RawFrame | None = None
        self._error: Exception | None = None
        self._cancelled = False
        self._closing = False
        self._stream: Stream | None = None
        self._thread: threading.Thread | None = None

    @property
    def tally(self) -> Tally:
        """What the stream has brought so far."""
        return Tally() if self._stream is None else self._stream.tally

    def start(self, stream: Stream) -> None:
        """Start the stream and read it from now on; the thread alone uses the link until close()."""
        self._stream = stream
        stream.start()
        with self._news:
            self._thread = threading.Thread(target=self._main, name=f"camera {self.link.identity}", daemon=True)
            self._thread.start()

    def frame_after(self, moment: float, deadline: float) -> RawFrame:
        """The newest whole frame that began after `moment`. ProtocolError when `deadline` passes without one.

        Both are in the link's seconds. What ended the stream comes out here, and Cancelled after a cancel().
        """
        with self._news:
            while not self._cancelled:
                if self._error is not None:
                    raise self._error
                if self._newest is not None and self._newest.began_at > moment:
                    return self._newest
                left = deadline - self.link.now()
                if left <= 0:
                    raise ProtocolError(f"no readable frame in time; {self.tally.damaged} damaged ones")
                self._news.wait(min(left, POLL_S))
            self._cancelled = False
            raise Cancelled("the wait for a frame")

    def cancel(self) -> None:
        """End the running or the next wait with Cancelled. The stream goes on."""
        with self._news:
            self._cancelled = self._thread is not None
            if not self._cancelled:
                self.link.cancel()
            self._news.notify_all()

    def close(self) -> None:
        """End the thread and give the link back. Never raises; may be called twice."""
        with self._news:
            self._closing = True
            thread, self._thread = self._thread, None
            self._error = self._error or LinkLost("closed")
            self._news.notify_all()
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
        except Exception as error:  # noqa: BLE001 - whatever ended the stream is what capture has to say
            self._fail(error)
        stream.stop()

    def _step(self, stream: Stream) -> None:
        try:
            for frame in stream.step():
                self._keep(frame)
                self._on_frame(frame)
        except Cancelled:
            self._pass_on()

    def _keep(self, frame: RawFrame) -> None:
        with self._news:
            self._newest = frame
            self._news.notify_all()

    def _pass_on(self) -> None:
        """A cancel that was meant for open() came too late for it: it ends the next capture."""
        with self._news:
            self._cancelled = not self._closing
            self._news.notify_all()

    def _fail(self, error: Exception) -> None:
        with self._news:
            self._error = self._error or error
            self._news.notify_all()
