"""Opens a picture by its first bytes: PNG, JPEG, JPEG 2000, TIFF, BMP, PGM and PPM. Names what is not read.

Only these decoders of Pillow run. Others exist that start programs (EPS) or that no fingerprint or eye comes in.
"""

import io
from collections.abc import Callable
from typing import NamedTuple

from PIL import Image, TiffImagePlugin
from PIL.BmpImagePlugin import BmpImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import jpeg_factory
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile

from simulators.pictures.errors import Fault, ImageFileError

READ = "PNG, JPEG, JPEG 2000, TIFF, BMP, PGM or PPM"
JPEG_SCANS = 200  # of a progressive JPEG; each is decoded over the whole picture
START_OF_SCAN = b"\xff\xda"
_LITTLE, _BIG = b"II", b"MM"


class Format(NamedTuple):
    """A format: its name, and how to open it; None if it is not read."""

    name: str
    open: Callable[[io.BytesIO], Image.Image] | None = None


PNG, JPEG, JPEG_2000 = Format("PNG", PngImageFile), Format("JPEG", jpeg_factory), Format("JPEG 2000", Jpeg2KImageFile)
TIFF, BMP, PNM = Format("TIFF", TiffImagePlugin.TiffImageFile), Format("BMP", BmpImageFile), Format("PNM", PpmImageFile)

# The first bytes of files. Of two that fit, the earlier one counts.
SIGNATURES: tuple[tuple[bytes, Format], ...] = (
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff\xf7", Format("JPEG-LS")),
    (b"\xff\xd8\xff", JPEG),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", JPEG_2000),
    (b"\xff\x4f\xff\x51", JPEG_2000),
    (b"II\xbc\x01", Format("JPEG XR")),
    *((prefix, TIFF) for prefix in TiffImagePlugin.PREFIXES),
    (b"BM", BMP),
    *((b"P%d" % kind, PNM) for kind in range(1, 7)),
    (b"Pf", PNM),
    (b"PF", Format("colour PFM")),
    (b"P7", Format("PAM")),
    (b"\xff\xa0", Format("WSQ")),
    (b"GIF8", Format("GIF")),
    (b"RIFF", Format("WebP")),
    (b"\xff\x0a", Format("JPEG XL")),
    (b"\x00\x00\x00\x0cJXL ", Format("JPEG XL")),
    (b"%PDF", Format("PDF")),
    (b"%!PS", Format("PostScript")),
    (b"8BPS", Format("Photoshop")),
    (b"1.001:", Format("ANSI/NIST-ITL record")),
    (b"FMR\0", Format("ISO/IEC 19794-2 record")),
    (b"FIR\0", Format("ISO/IEC 19794-4 record")),
    (b"IIR\0", Format("ISO/IEC 19794-6 record")),
)
CONTAINED = ((4, b"ftyp", Format("HEIF or AVIF")), (128, b"DICM", Format("DICOM")))  # offset, bytes

# Kinds of TIFF that Pillow can decode, but does not have in its table: white-is-zero, 12, 32 and 64 bits of both byte
# orders. Polarity is applied by simulators.pictures.levels.
for _order, _deep, _wide, _double in (
    (_LITTLE, ("I;16", "I;16"), ("I", "I;32"), ("F", "F;64F")),
    (_BIG, ("I;16B", "I;16B"), ("I", "I;32B"), ("F", "F;64BF")),
):
    for _polarity in (0, 1):
        TiffImagePlugin.OPEN_INFO.setdefault((_order, _polarity, (1,), 1, (12,), ()), ("I;16", "I;12"))
        TiffImagePlugin.OPEN_INFO.setdefault((_order, _polarity, (1,), 1, (16,), ()), _deep)
        TiffImagePlugin.OPEN_INFO.setdefault((_order, _polarity, (1,), 1, (32,), ()), _wide)
        TiffImagePlugin.OPEN_INFO.setdefault((_order, _polarity, (3,), 1, (64,), ()), _double)


def format_of(data: bytes, name: str) -> Format:
    """The format of a file. ImageFileError if it is none that is read; `name` is the file."""
    known = [form for signature, form in SIGNATURES if data.startswith(signature)]
    known += [form for at, signature, form in CONTAINED if data[at : at + len(signature)] == signature]
    if not known:
        raise ImageFileError(f"{name} is not a readable image: give a {READ} file", Fault.NO_PICTURE)
    if known[0].open is None:
        raise ImageFileError(
            f"{name} is a {known[0].name} file, which is not supported: give a {READ} file", Fault.NOT_SUPPORTED
        )
    return known[0]


def opened(data: bytes, form: Format, name: str) -> Image.Image:
    """The picture before it is decoded. ImageFileError if this kind of the format is not read or damaged."""
    if form is JPEG and data.count(START_OF_SCAN) > JPEG_SCANS:
        raise ImageFileError(
            f"{name} is a JPEG file of more than {JPEG_SCANS} scans: save it again as PNG", Fault.NOT_SUPPORTED
        )
    if form.open is None:
        raise ValueError(f"{form.name} has no decoder")
    try:
        return form.open(io.BytesIO(data))  # without its name, with which Pillow would map the file itself
    except SyntaxError as error:  # what Pillow's decoders raise for a header that they do not know
        detail = _tiff_kind(data) if form is TIFF else ""
        raise ImageFileError(
            f"{name} is a {form.name} file that is damaged or of a kind that is not supported ({error}{detail}): "
            "save it as PNG with 8 or 16 bits of grey",
            Fault.NOT_SUPPORTED,
        ) from error


def _tiff_kind(data: bytes) -> str:
    """What the tags of a TIFF file say about its values, for the message about one that is not read."""
    names = {
        TiffImagePlugin.BITSPERSAMPLE: "bits per sample",
        TiffImagePlugin.SAMPLEFORMAT: "sample format",
        TiffImagePlugin.PHOTOMETRIC_INTERPRETATION: "photometric interpretation",
        TiffImagePlugin.COMPRESSION: "compression",
    }
    try:
        file = io.BytesIO(data)
        tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
        file.seek(tags.next)
        tags.load(file)
        return "".join(f"; {text} {tags[tag]}" for tag, text in names.items() if tag in tags)[:200]
    except Exception:  # noqa: BLE001 - the message does without it
        return ""
