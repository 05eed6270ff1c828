"""The part of open(), capture(), cancel() and close() that is the same in every driver."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from drivers.errors import LinkLost, ProtocolError, SensorError
from drivers.transport import AdjustableRate, Attachment, SerialUrl, Transport, Url, parse_url

# The longest open(), and the longest capture() beyond its wait for the person. Less than the 120 s after which the
# agent takes a station for stuck; more than an SFM image of 91 s at 9600 baud.
TOTAL_S = 100.0
CLOSE_S = 5.0  # the longest close(): it only restores settings
# How long a module is greeted before it counts as silent. An adapter board may restart its module when the port is
# opened; a module or a boot loader is then deaf for 1.5 to 3 s.
GREETING_S = 5.0

Clock = Callable[[], float]
Link = TypeVar("Link")
Found = TypeVar("Found")


class TimeLimit:
    """The most time that one open(), capture() or close() may take, however slowly the device sends."""

    def __init__(self, name: str, clock: Clock) -> None:
        self._name = name
        self._clock = clock
        self._seconds = self._end = 0.0

    def start(self, seconds: float) -> None:
        """Begins: `seconds` are left."""
        self._seconds, self._end = seconds, self._clock() + seconds

    def left(self) -> float:
        """The seconds that are left. ProtocolError if there are none."""
        left = self._end - self._clock()
        if left <= 0:
            raise ProtocolError(
                f"{self._name}: not finished after {self._seconds:g} s: data come too slowly, or never end; "
                "check cable and power, then switch the sensor off and on"
            )
        return left


class LimitedTransport:
    """A Transport whose waits end at a time limit with ProtocolError."""

    def __init__(self, inner: Transport, limit: TimeLimit) -> None:
        self._inner = inner
        self._limit = limit

    def read(self, timeout: float) -> bytes:
        """Like Transport.read()."""
        return self._inner.read(min(timeout, self._limit.left()))

    def write(self, data: bytes) -> None:
        """Like Transport.write()."""
        self._limit.left()
        self._inner.write(data)

    def cancel(self) -> None:
        """Like Transport.cancel()."""
        self._inner.cancel()

    def close(self) -> None:
        """Like Transport.close()."""
        self._inner.close()


_: type[Transport] = LimitedTransport


class SensorSession:
    """Base class of the drivers: holds the device in an Attachment, and releases it after a failed open().

    A driver implements _release(). It overrides _open_failed() if a failed open() must not do all that close() does.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._attachment = Attachment()

    def cancel(self) -> None:
        """Ends the running capture or open, or the next one, with Cancelled."""
        self._attachment.cancel()

    def close(self) -> None:
        """Releases the device. Never raises; may be called twice and after any error."""
        self._release()
        self._attachment.detach()

    def _release(self) -> None:
        """Restores what open() changed in the device, and forgets the link. Never raises; may be called twice."""
        raise NotImplementedError

    def _open_failed(self, _error: BaseException) -> None:
        """Called after an error in open()."""
        self.close()

    @contextmanager
    def _opening(self) -> Iterator[None]:
        """Around open(): closes the device first, and again after an error."""
        self.close()
        with self._attachment.attempt():
            try:
                yield
            except BaseException as error:
                self._open_failed(error)
                raise

    def _require_open(self, link: Link | None) -> Link:
        """Returns `link`. LinkLost if the device is not open."""
        if link is None:
            raise LinkLost(f"{self._name}: not open")
        return link

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Adds the name of the device to errors. Only for code whose errors do not have it: that of cameras."""
        try:
            yield
        except SensorError as error:
            raise type(error)(f"{self._name}: {error}") from error


class _LimitedAttachment(Attachment):
    """An Attachment each attempt of which has TOTAL_S seconds."""

    def __init__(self, limit: TimeLimit) -> None:
        super().__init__()
        self._limit = limit

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Like Attachment.attempt()."""
        self._limit.start(TOTAL_S)
        with super().attempt():
            yield


class SerialSession(SensorSession):
    """Base class of the drivers of modules on a serial line: finds the module at one of several rates.

    The port stays open while the rates are tried, because a module may restart whenever its port is opened.
    """

    def __init__(
        self,
        driver: str,
        url: str,
        default_baud: int,
        *,
        baud: int | None,
        probe_bauds: tuple[int, ...],
        clock: Clock,
        connect: Callable[[Url], Transport],
    ) -> None:
        self._configured_url = parse_url(url, default_baud)
        self._url = self._configured_url  # at the rate of the last successful contact
        if not isinstance(self._url, SerialUrl) and (baud or probe_bauds):
            raise ValueError(f"driver {driver}: {url!r} has no rate to set: baud and probe_bauds need a serial: URL")
        super().__init__(f"{driver} at {self._url.path if isinstance(self._url, SerialUrl) else self._url}")
        self._probe_bauds = probe_bauds
        self._clock = clock
        self._connect = connect
        self._limit = TimeLimit(self._name, clock)
        self._attachment = _LimitedAttachment(self._limit)

    def close(self) -> None:
        """Releases the device. Never raises; may be called twice and after any error."""
        self._limit.start(CLOSE_S)
        super().close()

    @contextmanager
    def _capturing(self, timeout: float) -> Iterator[None]:
        """Around capture(), which waits for the person for `timeout` seconds."""
        with self._attachment.attempt():
            self._limit.start(max(timeout, 0.0) + TOTAL_S)
            yield

    def _at_rates(self, bauds: Iterable[int]) -> list[Url]:
        """The URL at each of these rates and at those of the option probe_bauds. A socket has no rate."""
        url = self._url
        if not isinstance(url, SerialUrl):
            return [url]
        return [replace(url, baud=rate) for rate in dict.fromkeys([*bauds, *self._probe_bauds])]

    def _attach(self, url: Url) -> Transport:
        """Opens the port, or changes the rate of the open one."""
        held = self._attachment.held
        if isinstance(url, SerialUrl) and isinstance(held, AdjustableRate) and isinstance(held, Transport):
            held.set_baud(url.baud)
            return LimitedTransport(held, self._limit)
        self._attachment.detach()  # it may hold the same port
        transport = self._connect(url)
        self._attachment.attach(transport)
        return LimitedTransport(transport, self._limit)

    def _find_at(self, urls: list[Url], greet: Callable[[Url], Found | None]) -> Found | None:
        """Greets the module at each URL in turn, until `greet` returns something. None after GREETING_S seconds."""
        started = self._clock()
        while True:
            for url in urls:
                if (found := greet(url)) is not None:
                    self._url = url
                    return found
            if self._clock() - started >= GREETING_S:
                return None
