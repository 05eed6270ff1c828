"""Driver of Suprema SFM fingerprint modules on a serial line: UniFinger SFM3000 to SFM6050, SFM Slim.

The module waits for the finger itself and then sends an image of 256 (or 16) grey levels. It has no event for a lifted
finger: the driver requests another scan and stops it as soon as the module has detected a finger.

This file opens the module, configures it and restores its settings. scan.py waits for the finger and fetches its image,
link.py does one exchange, tables.py says what the bytes mean, image.py parses the image.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from drivers.errors import Cancelled, ProtocolError, SensorError
from drivers.matches import SERIAL_ADAPTERS
from drivers.options import Options, parse_options
from drivers.sample import Modality, Position, Sample
from drivers.sensor import DeviceInfo, Sensor
from drivers.session import Clock, SerialSession
from drivers.sfm.image import DEPTH_BITS, PARAMETER_VALUE, record_bytes
from drivers.sfm.link import NoAnswer, SfmLink
from drivers.sfm.options import SfmOptions
from drivers.sfm.scan import Scanner
from drivers.sfm.tables import DEFAULT_BAUD, RATE_CODES, SLOWEST_BAUD, NextStep, Parameter, Result
from drivers.transport import SerialUrl, Transport, Url, open_transport

log = logging.getLogger(__name__)

MATCHES = SERIAL_ADAPTERS  # modules have no USB of their own

FIRST_TRIES = 2  # attempts at each rate before the next one is tried
RESTORE_TRIES = 3  # a cancel may be pending at close(), and another one may come meanwhile
ADVICE = "is it powered and wired, and at this rate? (baud in the URL, options probe_bauds, terminal)"
ADVICE_SOCKET = "is it powered and wired, and does the adapter use its rate? (option terminal)"
ADVICE_REFUSAL = "if no other host uses it, switch it off and on"


class Sfm(SerialSession):
    """One module."""

    modality = Modality.FINGER
    streams = False

    def __init__(
        self,
        url: str,
        options: Options,
        *,
        clock: Clock = time.monotonic,
        connect: Callable[[Url], Transport] = open_transport,
    ) -> None:
        self._options = parse_options(SfmOptions, "sfm", options)
        super().__init__(
            "sfm", url, DEFAULT_BAUD, baud=self._options.baud, probe_bauds=self._options.probe_bauds, clock=clock,
            connect=connect,
        )  # fmt: skip
        self._scanner = Scanner(self._name, self._options, clock)
        self._contact: SfmLink | None = None  # the link to restore the settings by, also before open() has ended
        self._link: SfmLink | None = None  # set while open
        self._size = (self._options.height, self._options.width)
        self._original = dict[Parameter, int]()  # the values to restore at close
        self._readable = True  # the module answers when a parameter is read

    def open(self) -> DeviceInfo:
        """Claims the port, identifies the module and requests grey images. Tries each rate of the options."""
        with self._opening():
            self._readable = True
            link = self._set_rate(self._find(self._rates_to_try()))
            self._learn_rate(link)
            self._set_format(link)
            info = self._info(link)
            self._link = link
            return info

    def capture(self, timeout: float, position: Position = Position.UNKNOWN) -> Sample:
        """Waits for a finger and returns its image."""
        with self._capturing(timeout):
            link = self._require_open(self._link)
            with self._stopped_when_cancelled(link):
                captured_at, image = self._scanner.scan(link, timeout)
            self._size = image.pixels.shape[0], image.pixels.shape[1]
            ppi, depth = self._options.ppi, image.depth_bits
            return Sample(self.modality, position, image.pixels, depth, ppi, captured_at, device=self._name)

    def forget_finger(self) -> None:
        """The next capture takes an image of what is on the sensor."""
        self._scanner.forget_finger()

    def check_alive(self) -> None:
        """Asks the module for its status."""
        with self._attachment.attempt():
            self._require_open(self._link).ensure_idle()

    def _release(self) -> None:
        link, self._contact, self._link = self._contact, None, None
        if link is not None:
            with suppress(SensorError):
                self._restore_despite_cancel(link)
        self._original.clear()

    def _open_failed(self, error: BaseException) -> None:
        # After a cancel open() ends immediately: the next close() or open() restores what was changed so far.
        if not isinstance(error, Cancelled):
            self.close()

    @contextmanager
    def _stopped_when_cancelled(self, link: SfmLink) -> Iterator[None]:
        """Stops the scan in the module after a cancel."""
        try:
            yield
        except Cancelled:
            with suppress(SensorError, Cancelled):
                link.stop()
            raise

    # Finding the module

    def _rates_to_try(self) -> list[Url]:
        """The URL at the rate of the last contact, at its own rate, at the wanted one, and at those to probe."""
        known = [url.baud for url in (self._url, self._configured_url) if isinstance(url, SerialUrl)]
        return self._at_rates([*known, self._options.baud] if self._options.baud else known)

    def _find(self, urls: list[Url]) -> SfmLink:
        """Tries each rate; returns the link at the first one that is answered."""
        noise = refusal = ""

        def greet(url: Url) -> SfmLink | None:
            nonlocal noise, refusal
            link = self._link_at(url)
            if link.bring_to_idle(FIRST_TRIES):
                return link
            noise, refusal = link.noise or noise, link.refusal or refusal
            return None

        found = self._find_at(urls, greet)
        if found is not None:
            return found
        rates = [str(url.baud) for url in urls if isinstance(url, SerialUrl)]
        at = f" at {', '.join(rates)} baud" if rates else ""
        if refusal:
            raise ProtocolError(f"{self._name}: answers{at} but does not become idle: {refusal}; {ADVICE_REFUSAL}")
        raise ProtocolError(f"{self._name}: no answer{at}{noise}; {ADVICE if rates else ADVICE_SOCKET}")

    def _link_at(self, url: Url) -> SfmLink:
        baud = url.baud if isinstance(url, SerialUrl) else DEFAULT_BAUD
        link = SfmLink(self._attach(url), self._name, self._options.terminal, baud, self._clock)
        self._contact = link
        self._expect_images(link)
        return link

    def _expect_images(self, link: SfmLink) -> None:
        link.expect_images(record_bytes(self._size[1], self._size[0], self._options.format))

    # Settings: changed until power-off only, and restored at close()

    def _set_rate(self, link: SfmLink) -> SfmLink:
        wanted, now = self._options.baud, self._url
        if not isinstance(now, SerialUrl) or wanted is None:
            return link
        self._remember_rate(wanted)
        if wanted == now.baud:
            return link
        refusal = self._request_rate(link, wanted)
        if refusal is not None:
            self._original.pop(Parameter.BAUD, None)
            log.warning("%s: refuses %d baud: %s", self._name, wanted, refusal)
            return link
        link = self._find([replace(now, baud=wanted), now])
        if self._url == now:
            log.warning("%s: keeps %d baud", self._name, now.baud)
        return link

    def _remember_rate(self, wanted: int) -> None:
        """Remembers the rate of the URL, to restore it at close()."""
        configured = self._configured_url
        if isinstance(configured, SerialUrl) and configured.baud != wanted and configured.baud in RATE_CODES:
            self._original[Parameter.BAUD] = RATE_CODES[configured.baud]

    def _learn_rate(self, link: SfmLink) -> None:
        """Reads the rate from the module behind a socket. If it does not answer, images get the time of the slowest."""
        if not isinstance(self._url, SerialUrl):
            code = self._read(link, Parameter.BAUD)
            link.set_baud(next((rate for rate, known in RATE_CODES.items() if known == code), SLOWEST_BAUD))
            self._expect_images(link)

    def _request_rate(self, link: SfmLink, baud: int) -> Result | None:
        """The refusal of the module. None if it accepted, or if its answer came at the new rate."""
        try:
            answer = link.write(Parameter.BAUD, RATE_CODES[baud])
        except NoAnswer:
            return None
        return None if answer.then is NextStep.GO_ON else answer

    def _read(self, link: SfmLink, parameter: Parameter) -> int | None:
        """A system parameter. None if the module does not tell it; the options then say what it is."""
        if not self._readable:
            return None
        try:
            return link.read(parameter)
        except NoAnswer as error:
            self._require_contact(link, error)
            self._readable = False
            return None

    def _require_contact(self, link: SfmLink, error: NoAnswer) -> None:
        """Raises `error` unless the module answers something else: then it only lacks the command."""
        if not link.bring_to_idle(FIRST_TRIES):
            raise error

    def _set_format(self, link: SfmLink) -> None:
        """Requests grey images: the factory setting is black and white."""
        wanted, before = PARAMETER_VALUE[self._options.format], self._read(link, Parameter.IMAGE_FORMAT)
        if before == wanted:
            return
        if before is not None:
            self._original[Parameter.IMAGE_FORMAT] = before
        refusal = self._request_format(link, wanted)
        if refusal is not None and before is not None and self._read(link, Parameter.IMAGE_FORMAT) != wanted:
            raise ProtocolError(f"{self._name}: images in grey refused: {refusal}")
        if refusal is not None:
            log.warning("%s: its image format is not known and cannot be set: %s", self._name, refusal)

    def _request_format(self, link: SfmLink, wanted: int) -> str | None:
        """Why the module does not set the image format. None if it does."""
        try:
            answer = link.write(Parameter.IMAGE_FORMAT, wanted)
        except NoAnswer as error:
            self._require_contact(link, error)
            return str(error).removeprefix(f"{self._name}: ")
        return None if answer.then is NextStep.GO_ON else str(answer)

    def _restore_despite_cancel(self, link: SfmLink) -> None:
        """Restores even if a cancel is pending. The sensor remembers the cancel, which ends the next capture."""
        for _ in range(RESTORE_TRIES):
            with suppress(Cancelled):
                self._restore(link)
                return

    def _restore(self, link: SfmLink) -> None:
        """Restores the original settings, the rate last."""
        if not self._original or not link.bring_to_idle(1):
            return
        for parameter in sorted(self._original):
            if link.write(parameter, self._original[parameter]).then is NextStep.GO_ON and parameter is Parameter.BAUD:
                self._url = self._configured_url

    def _info(self, link: SfmLink) -> DeviceInfo:
        firmware, serial = self._read(link, Parameter.FIRMWARE), self._read(link, Parameter.SERIAL)
        height, width = self._size
        return DeviceInfo(
            driver="sfm",
            model="",
            serial="" if serial is None else str(serial),
            firmware="" if firmware is None else _characters(firmware),
            width=width,
            height=height,
            pixels_per_inch=self._options.ppi,
            depth_bits=DEPTH_BITS[self._options.format],
        )


def _characters(word: int) -> str:
    """The four characters in a number; the number in hexadecimal if they are not printable."""
    raw = word.to_bytes(4, "little").rstrip(b"\0 ")
    return raw.decode("ascii") if raw.isascii() and raw.decode("ascii").isprintable() else f"0x{word:08X}"


_: type[Sensor] = Sfm
