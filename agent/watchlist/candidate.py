"""The candidate list: the result of a search and the input of a decision."""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.events.event import Category
from drivers.sample import Position
from models.calibration import any_of


@dataclass(frozen=True, slots=True)
class Candidate:
    """One reference that is similar to the probes.

    `scores` holds the comparison score of each position of the probe; `false_match_rate` is the calibrated rate at
    which a person who is not on the list is at least as similar to this reference, all positions together.
    """

    reference_id: str
    agreement: str
    category: Category
    scores: Mapping[Position, float]
    false_match_rate: float
    provider: str = ""
    instruction: str = ""  # the provider's code of what the officer does
    positions_swapped: bool = False  # similar only with left and right exchanged
    recipients: frozenset[str] = frozenset()  # who may hear of it


@dataclass(frozen=True, slots=True)
class CandidateList:
    """Candidates, the least likely false match first, and the list that was searched.

    `references` is how many persons were searched; `age_s` the seconds since it was last confirmed, None if never.
    """

    candidates: tuple[Candidate, ...]
    references: int
    revision: int
    age_s: float | None
    clock_in_doubt: bool = False
    list_expired: bool = False  # the signatures have expired
    list_unusable: bool = False  # longer ago than the policy allows
    list_incomplete: bool = False  # a list that should be here is missing

    def false_positive_identification_rate(self, candidate: Candidate) -> float:
        """The rate at which somebody who is not on a list of this size gets a candidate as similar as this one."""
        return any_of(candidate.false_match_rate, self.references)
