"""Several good samples of one finger make a reference, and an enrolment event tells the hub.

The reference is searchable here only where the local list is switched on and asked for: what is searched is otherwise
only what providers have signed.
"""

import json
import uuid
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from agent.capture import Captured, Collection, Collector
from agent.clock import Clock
from agent.config import AgreementConfig, Config, Step
from agent.errors import ControlError
from agent.event import Category, Enrolment, Event
from agent.outbox import Outbox
from agent.watchlist import Reference, Watchlist
from drivers.sample import Position
from models import gallery_class
from models.calibration import load_calibration
from models.encoder import Entry
from models.template import Template

Seal = Callable[[bytes], str]

LOCAL_TEST = "local-test"

# Two samples of one finger must be this unlikely to come from two people, or one of them was of another finger.
SAME_FINGER_RATE = 0.01


@dataclass(frozen=True, slots=True)
class EnrolmentRequest:
    """What a technician asked for. `agreement` may be empty only for the local list, whose agreement is local-test."""

    position: Position
    samples: int = 3
    agreement: str = ""
    category: Category = Category.LOCAL_TEST
    reference_id: str = ""
    into_local_list: bool = False


@dataclass(frozen=True, slots=True)
class Enroller:
    """The parts that an enrolment runs through. One thread owns them."""

    config: Config
    watchlist: Watchlist
    outbox: Outbox
    clock: Clock
    seal: Seal | None

    def run(self, request: EnrolmentRequest, collector: Collector) -> Enrolment:
        """Capture, check that the samples agree, store, tell the hub. ControlError says why there is no reference."""
        agreement_name, agreement = self._agreement(request)
        if request.reference_id in self.watchlist:
            raise ControlError(f"reference {request.reference_id} is already on the list: choose another id")
        samples = self._capture(request, collector)
        best = max(samples, key=lambda s: s.quality)
        reference = Reference(
            reference_id=request.reference_id or uuid.uuid4().hex,
            agreement=agreement_name,
            category=request.category,
            expires_at=self.clock.now() + timedelta(seconds=agreement.keep_s),
            templates=tuple((request.position, s.template) for s in samples),
        )
        payload = self._payload(reference, agreement, best.quality, searchable=request.into_local_list)
        # The record first: nothing is searched here that the hub will not hear of.
        self.outbox.put(Event.of(payload, reference.reference_id, self.clock.now()))
        if request.into_local_list:
            self.watchlist.add(reference, agreement)
        return payload

    def _agreement(self, request: EnrolmentRequest) -> tuple[str, AgreementConfig]:
        if request.into_local_list:
            if not self.config.local_list.enabled:
                raise ControlError("the local list is off: set local_list.enabled = true in the configuration first")
            if request.agreement not in ("", LOCAL_TEST) or request.category is not Category.LOCAL_TEST:
                raise ControlError("the local list is for tests: it takes no other agreement and no other category")
            return LOCAL_TEST, local_test_agreement(self.config)
        known = self.config.agreements
        if request.agreement not in known:
            names = ", ".join(sorted(known)) or "none is configured; add [agreements.NAME]"
            raise ControlError(f"an enrolment needs an agreement (--agreement): {names}")
        agreement = known[request.agreement]
        if self.config.hub.recipient not in agreement.recipients:
            raise ControlError(
                f"agreement {request.agreement} does not allow the recipient {self.config.hub.recipient}: "
                "nothing was captured"
            )
        if self.seal is None:
            raise ControlError(
                "hub.encryption_key is not configured: templates could not be sent, so nothing was captured"
            )
        return request.agreement, agreement

    def _capture(self, request: EnrolmentRequest, collector: Collector) -> Sequence[Captured]:
        step = self._step(request.position)
        samples: list[Captured] = []
        for _ in range(request.samples):
            taken = Collection()
            collector.collect((step,), taken, self.config.plan.attempts, self.config.policy.min_enrolment_quality)
            if request.position not in taken.captured:
                raise ControlError(f"failure to enrol: {taken.gap} after {len(samples)} good samples; nothing was kept")
            samples.append(taken.captured[request.position])
        _check_same_finger(samples)
        return samples

    def _step(self, position: Position) -> Step:
        planned = next((s for s in self.config.plan.steps if s.position is position), None)
        return planned or Step(sensor=self.config.plan.steps[0].sensor, position=position)

    def _payload(
        self, reference: Reference, agreement: AgreementConfig, quality: int, *, searchable: bool
    ) -> Enrolment:
        positions = tuple(dict.fromkeys(position for position, _ in reference.templates))
        return Enrolment(
            reference_id=reference.reference_id,
            agreement=reference.agreement,
            provider=agreement.provider,
            purpose=agreement.purpose,
            legal_basis=agreement.legal_basis,
            recipients=agreement.recipients,
            expires_at=reference.expires_at,
            category=reference.category,
            positions=positions,
            template_formats=tuple(dict.fromkeys(t.format for _, t in reference.templates)),
            quality=dict.fromkeys(positions, quality),
            searchable_here=searchable,
            sealed=self.seal(_packed(reference.templates)) if self.seal else None,
        )


def local_test_agreement(config: Config) -> AgreementConfig:
    """The built-in agreement of the local list: for trying the kiosk with staff who consent."""
    return AgreementConfig(
        provider=f"{config.kiosk.site}/{config.kiosk.name}",
        purpose="test of this kiosk",
        legal_basis="consent of the person enrolled",
        recipients=(config.hub.recipient,),
        keep_s=config.local_list.keep_s,
    )


def _check_same_finger(samples: Sequence[Captured]) -> None:
    """Every sample must be like another one, or a second finger has slipped in."""
    for number, sample in enumerate(samples, 1):
        others = [s.template for s in samples if s is not sample]
        if others and min(_rate(sample.template, other) for other in others) > SAME_FINGER_RATE:
            raise ControlError(f"failure to enrol: sample {number} is not of the same finger; nothing was kept")


def _rate(one: Template, other: Template) -> float:
    gallery = gallery_class(other.format).build([Entry("other", Position.UNKNOWN, other)])
    found = gallery.search(one, Position.UNKNOWN, 1)
    return load_calibration(one.format).false_match_rate(found[0].score) if found else 1.0


def _packed(templates: Sequence[tuple[Position, Template]]) -> bytes:
    rows = [{"position": p, "format": t.format, "data": b64encode(t.data).decode()} for p, t in templates]
    return json.dumps({"templates": rows}).encode()
