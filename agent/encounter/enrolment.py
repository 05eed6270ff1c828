"""Makes a reference from several good samples of each finger and eye, and an enrolment event for the hub.

The reference is searchable here only if the local list is switched on and requested: otherwise the kiosk searches only
what providers have signed.
"""

import json
import uuid
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.clock import Clock
from agent.config import AgreementConfig, Config, Step
from agent.encounter.capture import CapturedTemplate, Collection, Collector
from agent.encounter.same_source import false_match_rate
from agent.errors import ControlError
from agent.events.event import Category, Enrolment, Event
from agent.hub.outbox import Outbox
from agent.watchlist.reference import Reference
from agent.watchlist.watchlist import Watchlist
from drivers.sample import Modality, Position
from models import exported
from models.template import Template

Seal = Callable[[bytes], str]

LOCAL_TEST = "local-test"

# A sample whose false match rate with every other sample is above this is of another finger or eye.
MAX_SAME_SOURCE_RATE = 0.01


@dataclass(frozen=True, slots=True)
class EnrolmentRequest:
    """What a technician requested. `agreement` may be empty only for the local list, whose agreement is local-test."""

    positions: tuple[Position, ...]
    samples: int = 3  # good samples of each position
    agreement: str = ""
    category: Category = Category.LOCAL_TEST
    reference_id: str = ""
    into_local_list: bool = False


@dataclass(frozen=True, slots=True)
class Enroller:
    """The parts that an enrolment uses. One thread owns them."""

    config: Config
    watchlist: Watchlist
    outbox: Outbox
    clock: Clock
    seal: Seal | None

    def run(self, request: EnrolmentRequest, collector: Collector) -> Enrolment:
        """Capture, check that the samples are similar, store, report. ControlError says why there is no reference."""
        agreement_name, agreement = self._agreement(request)
        if request.reference_id in self.watchlist:
            raise ControlError(f"reference {request.reference_id} is already on the list: choose another id")
        samples: list[CapturedTemplate] = []
        for position in request.positions:
            samples += self._capture(position, request, collector, samples)
        reference = Reference(
            reference_id=request.reference_id or uuid.uuid4().hex,
            agreement=agreement_name,
            category=request.category,
            expires_at=self._now(local=request.into_local_list) + timedelta(seconds=agreement.keep_s),
            templates=tuple((taken.step.position, taken.template) for taken in samples),
        )
        models = collector.models({position.modality for position in request.positions})
        payload = self._payload(
            reference, agreement, models, _best_quality(samples), searchable=request.into_local_list
        )
        # The event comes first: no reference is searched here without an event for the hub.
        self.outbox.put(Event.of(payload, reference.reference_id, self.clock.now()))
        if request.into_local_list:
            self.watchlist.add(reference, agreement)
        return payload

    def _now(self, *, local: bool) -> datetime:
        """What the expiry counts from: trusted time where this kiosk deletes the reference, else the wall clock."""
        return self.watchlist.in_memory.clock.now() if local else self.clock.now()

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

    def _capture(
        self, position: Position, request: EnrolmentRequest, collector: Collector, earlier: Sequence[CapturedTemplate]
    ) -> Sequence[CapturedTemplate]:
        step = self._step(position)
        samples: list[CapturedTemplate] = []
        for _ in range(request.samples):
            collection = Collection(earlier=tuple(earlier))
            collector.collect((step,), collection, self.config.plan.attempts, self.config.policy.min_enrolment_quality)
            if position not in collection.captured:
                done = f"{collection.gap} after {len(samples)} good samples of {position}"
                raise ControlError(f"failure to enrol: {done}; nothing was stored")
            samples.append(collection.captured[position])
        _check_same_source(samples)
        return samples

    def _step(self, position: Position) -> Step:
        planned = next((s for s in self.config.plan.steps if s.position is position), None)
        if planned is not None:
            return planned
        # A finger that is not in the plan is captured on the sensor of the plan's fingers; the same holds for eyes.
        similar = next((s for s in self.config.plan.steps if s.position.modality is position.modality), None)
        if similar is None:
            raise ControlError(f"no sensor in this kiosk's plan captures {position}")
        return Step(sensor=similar.sensor, position=position)

    def _payload(
        self,
        reference: Reference,
        agreement: AgreementConfig,
        models: dict[str, str],
        quality: dict[Position, int],
        *,
        searchable: bool,
    ) -> Enrolment:
        sent = [(position, exported(template)) for position, template in reference.templates]
        return Enrolment(
            reference_id=reference.reference_id,
            agreement=reference.agreement,
            provider=agreement.provider,
            purpose=agreement.purpose,
            legal_basis=agreement.legal_basis,
            recipients=agreement.recipients,
            expires_at=reference.expires_at,
            category=reference.category,
            positions=tuple(quality),
            template_formats=tuple(dict.fromkeys(template.format for _, template in sent)),
            models=models,
            quality=quality,
            searchable_here=searchable,
            sealed=self.seal(_pack_templates(sent)) if self.seal else None,
        )


def local_test_agreement(config: Config) -> AgreementConfig:
    """The built-in agreement of the local list: for tests of the kiosk with staff who consent."""
    return AgreementConfig(
        provider=f"{config.kiosk.site}/{config.kiosk.name}",
        purpose="test of this kiosk",
        legal_basis="consent of the person enrolled",
        recipients=(config.hub.recipient,),
        keep_s=config.local_list.keep_s,
    )


def _best_quality(samples: Sequence[CapturedTemplate]) -> dict[Position, int]:
    best: dict[Position, int] = {}
    for taken in samples:
        best[taken.step.position] = max(taken.quality, best.get(taken.step.position, 0))
    return best


def _check_same_source(samples: Sequence[CapturedTemplate]) -> None:
    """ControlError if a sample is not similar to any other one: it is of another finger or eye."""
    for number, sample in enumerate(samples, 1):
        others = [s.template for s in samples if s is not sample]
        if others and min(false_match_rate(sample.template, other) for other in others) > MAX_SAME_SOURCE_RATE:
            what = "eye" if sample.step.position.modality is Modality.IRIS else "finger"
            raise ControlError(f"failure to enrol: sample {number} is not of the same {what}; nothing was stored")


def _pack_templates(templates: Sequence[tuple[Position, Template]]) -> bytes:
    rows = [{"position": p, "format": t.format, "data": b64encode(t.data).decode()} for p, t in templates]
    return json.dumps({"templates": rows}).encode()
