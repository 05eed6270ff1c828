"""Templates of the records that a list may contain: our own formats, and records of ISO/IEC 19794-2 and 19794-6."""

from collections.abc import Callable
from datetime import UTC, datetime

from drivers.sample import Modality, Position, Sample
from models import load_encoder
from models.encoder import Encoder
from models.exchange import iso19794_2, iso19794_6
from models.iris.template import unpack
from models.template import Template, TemplateError

Positioned = tuple[Position, Template]

FINGER_RECORD, IRIS_RECORD = "iso19794-2", "iso19794-6"


class RecordTemplates:
    """Makes templates of records. The iris encoder is loaded when the first image comes."""

    def __init__(self, load: Callable[[Modality], Encoder] = load_encoder) -> None:
        self._load = load
        self._iris: Encoder | None = None

    def read(self, record_format: str, position: Position, data: bytes) -> tuple[Positioned, ...]:
        """The templates of one record, or the one template that it is. TemplateError says what is wrong.

        An image in which no iris is found is refused: its template would match nobody, and nobody would know.

        A record may have several views. Those that name no finger or eye get `position`; with a known `position`, views
        of another one are refused.
        """
        if record_format == FINGER_RECORD:
            return tuple((_same(view.position, position), view.template) for view in iso19794_2.from_record(data))
        if record_format == IRIS_RECORD:
            return tuple((_same(view.position, position), self._encode(view)) for view in iso19794_6.from_record(data))
        return ((position, Template(record_format, data)),)

    def _encode(self, view: iso19794_6.IrisView) -> Template:
        if self._iris is None:
            self._iris = self._load(Modality.IRIS)
        taken_at = view.captured_at or datetime.now(UTC)
        template = self._iris.encode(Sample(Modality.IRIS, view.position, view.image, 8, 0.0, taken_at, "list"))
        if not unpack(template).mask.any():
            raise TemplateError(f"{IRIS_RECORD}: no iris was found in an image; send another image of this eye")
        return template


def _same(stated: Position, wanted: Position) -> Position:
    """The position of a view, which the list states too."""
    if Position.UNKNOWN in (stated, wanted):
        return wanted if stated is Position.UNKNOWN else stated
    if stated is not wanted:
        raise TemplateError(f"the record is of {stated}, but the list says {wanted}")
    return stated
