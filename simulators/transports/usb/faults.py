"""The faults (transports/faults.py) that any USB device can have. They affect transfers, whatever these contain."""

from simulators.transports.faults import ANYWHERE, CORRUPTIONS, Params
from simulators.transports.usb.device import UsbModel

USB_FAULTS = (
    "drop", "double", "flip", "garbage", "late", "short", "long", "silent", "stall", "lost", "duplicate", "slow",
    "wrong_device",
)  # fmt: skip
LARGE = 4096  # bytes: a transfer of at least this size is an image or a large part of one
CORRUPTING = ("drop", "double", "flip", "garbage")  # faults that change the bytes of a transfer
SMALL_CHANCE = 0.125  # that a fault without a packet number affects a smaller transfer: an image may consist of many


class TransferFaults:
    """Applies the pending faults of a model to its transfers."""

    def __init__(self, model: UsbModel) -> None:
        self._faults = model.faults
        self._passed: dict[str, int] = {}  # transfers that went through since a fault with packet=N was injected

    def silent(self) -> bool:
        """True if the device neither receives nor sends."""
        return self._faults.peek("silent") is not None and self._faults.occurs("silent")

    def wrong_device(self) -> bool:
        """True if another device answers under the same USB id."""
        return self._faults.occurs("wrong_device")

    def stalls(self, bulk: bool) -> bool:  # noqa: FBT001 - one of two kinds of endpoint
        """True if the transfer that begins now is refused."""
        return self._affecting("stall", LARGE, bulk=bulk) is not None

    def delay(self, *, bulk: bool) -> float:
        """The delay of the transfer, seconds."""
        late = self._affecting("late", LARGE, bulk=bulk)
        slow = self._faults.take("slow")
        return sum(float(params["seconds"]) for params in (late, slow) if params)

    def corrupt(self, data: bytes, *, bulk: bool) -> list[bytes]:
        """The transfers that are really sent instead of `data`."""
        if self._faults.occurs("wrong_device"):
            return [self._faults.random.randbytes(len(data))]
        if self._affecting("lost", len(data), bulk=bulk):
            return []
        for name in CORRUPTING:
            if params := self._affecting(name, len(data), bulk=bulk):
                data = CORRUPTIONS[name](data, 0, self._faults.random, params)
        if bulk:
            data = self._resize(data)
        return [data] * (2 if self._affecting("duplicate", len(data), bulk=bulk) else 1)

    def _resize(self, data: bytes) -> bytes:
        if params := self._affecting("short", len(data)):
            data = data[: max(len(data) - int(params["bytes"]), 0)]
        if params := self._affecting("long", len(data)):
            data += self._faults.random.randbytes(int(params["bytes"]))
        return data

    def _affecting(self, name: str, size: int, *, bulk: bool | None = None) -> Params | None:
        """The parameters of the fault if it affects this transfer: the one it names, or one chosen at random."""
        where = {} if bulk is None else {"at": "data" if bulk else "answer"}
        params = self._faults.peek(name, **where)
        if params is None:
            return None
        wanted = int(params.get("packet", ANYWHERE))
        if wanted == ANYWHERE:
            affected = size >= LARGE or bulk is False or self._faults.random.random() < SMALL_CHANCE
        else:
            affected = self._passed.get(name, 0) >= wanted
            self._passed[name] = 0 if affected else self._passed.get(name, 0) + 1
        return self._faults.take(name, **where) if affected else None
