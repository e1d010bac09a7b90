"""What an action and a check must offer, and what they are given. Whoever writes one needs this file, model and ports.

An action is a frozen pydantic model: its fields are the keys that the experiment file may give. It says whom it could
hit, hits them through a Stage, tells whether the fault landed, and undoes what it did from an intent alone.
A check is one too: it says which queries it needs, and judges a finished run from its record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict, GetJsonSchemaHandler, PlainSerializer, Strict
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from chaoskit import units
from chaoskit.model import Answer, ClusterInfo, Finding, Raw, Ref, Right, Target, WatchEvent
from chaoskit.objects import WORKLOADS, Objects
from chaoskit.ports import Cluster
from chaoskit.samples import Sample

# ── fields that experiment files use ─────────────────────────────────────────────────────────────────────────────────


def _parse_ref(text: object) -> Ref:
    if isinstance(text, Ref):
        return text
    kinds = (*WORKLOADS, "service", "pod", "node")
    if isinstance(text, str) and text.count("/") == 1:
        kind, name = text.split("/")
        if kind in kinds and name:
            return Ref(kind, name)
        raise ValueError(f"{kind!r} is no kind that can be named here; use {', '.join(kinds)}")
    raise ValueError(f"name an object as kind/name, as in deployment/front, not {units.shown(text)}")


def _written(parse: Callable[[object], object]) -> BeforeValidator:
    """A parser of a text; the schema says that a text is what is written."""
    return BeforeValidator(parse, json_schema_input_type=str)


RefField = Annotated[Ref, _written(_parse_ref), PlainSerializer(str, return_type=str)]
Seconds = Annotated[float, _written(units.duration), PlainSerializer(units.write_duration, return_type=str)]
Share = Annotated[float, _written(units.share), PlainSerializer(units.write_share, return_type=str)]
Count = Annotated[int, Strict()]
"""A whole number, written as one: neither `true` nor `"3"`."""
Rate = Annotated[float, _written(units.rate), PlainSerializer(units.write_rate, return_type=str)]


class Part(BaseModel):
    """A part of an experiment: frozen, with no keys beyond those declared."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)
    short_form: ClassVar[bool] = False
    """Whether a single text may stand for the whole part."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema lets editors write what the file may say: the short form too, and defaults with their units."""
        found = handler.resolve_ref_schema(handler(core))
        keys = {info.alias or name: (name, info) for name, info in cls.model_fields.items()}
        for key, (name, info) in keys.items():
            shown = found.get("properties", {}).get(key, {})
            if "default" in shown and not info.is_required():
                one = cls.model_construct(**{name: info.default}).model_dump(
                    mode="json", include={name}, warnings=False
                )
                shown["default"] = one[name]
        return {"anyOf": [{"type": "string"}, found]} if cls.short_form else found


LONGEST_CALL_S = 30.0
"""How long one call of the Cluster port may take, with its repetitions while an API does not answer."""

# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Intent:
    """One act as the journal and the cluster's annotations hold it: enough to undo it without the experiment."""

    run: str
    n: int
    """Its number in the run."""
    step: str
    verb: str
    target: Target
    change: Mapping[str, Any] = field(default_factory=dict)
    """What the act sets, in the action's own words, so that healing can tell its change from somebody else's."""


@dataclass(frozen=True, slots=True)
class Healed:
    """What became of an intent: `done` (restored, or nothing to restore), or what is left and what to type."""

    done: bool
    how: str
    fix: str = ""


class Stage(Protocol):
    """What the engine gives an action while its step runs."""

    @property
    def cluster(self) -> Cluster: ...

    @property
    def objects(self) -> Objects:
        """The present state, kept by the watch."""

    @property
    def namespace(self) -> str: ...

    @property
    def targets(self) -> tuple[Target, ...]:
        """Who was chosen, within the limits, just now."""

    def now(self) -> float: ...

    def act(
        self, what: str, target: Target, call: Callable[[], object], change: Mapping[str, Any] | None = None
    ) -> bool:
        """Journals the intent, checks the limits once more, makes the call, and journals the outcome.

        Returns whether the call was accepted; an object that is gone meanwhile counts as not. `change` not None: the
        act needs undoing, and the intent is written on the target first. BudgetError is passed on, to try again."""

    def wait_until(self, true: Callable[[], bool], within_s: float, what: str) -> bool:
        """Takes in events until `true()`, or until the time is over; says which."""

    def set_users(self, users: int, spawn_rate: float) -> None:
        """Changes how many Locust users there are. The load ends with the run, so nothing is to be undone."""

    def undo(self, step: str) -> Sequence[str]:
        """Heals what an earlier step did, now, as the end of the run would; says how, one line an act."""

    def saw(self, kind: str, data: Mapping[str, Any]) -> None:
        """Writes down what a look at the system gave, for checks to judge: JSON values, by a kind of the action's."""

    def note(self, text: str) -> None:
        """Something that the report should tell."""


class Action(Part):
    """What a step does on purpose."""

    verb: ClassVar[str]
    """Its key in the experiment file."""
    own_cluster: ClassVar[bool] = False
    """Whether only the maker of the cluster can do it: then a run on another one is refused before it begins."""
    hits_platform: ClassVar[bool] = False
    """Whether it hits programs of the platform itself: whatever works through them is cut off."""
    annotates: ClassVar[tuple[str, ...]] = ()
    """The kinds of objects that it writes intents on, where healing by the cluster alone looks for them."""

    def rights(self, namespace: str) -> Sequence[Right]:
        """What it and its undoing need to be allowed, beyond watching."""
        raise NotImplementedError

    def candidates(self, objects: Objects, namespace: str) -> Sequence[Target]:
        """All that it could hit, in a stable order. UsageError if what it names does not exist."""
        raise NotImplementedError

    def number(self, of: int) -> int:
        """How many of `of` candidates it wants to hit."""
        raise NotImplementedError

    def steps(self) -> Sequence[str]:
        """The earlier steps that it names; they must exist."""
        return ()

    def elsewhere(self) -> str:
        """Another namespace than the experiment's that its targets are in, so that the engine watches it too."""
        return ""

    def needs_users(self) -> bool:
        """Whether it acts on Locust's users; an experiment without any is then refused."""
        return False

    def longest_s(self, targets: int) -> float:
        """How long hitting so many targets may take. An action that waits adds its own deadlines."""
        return targets * LONGEST_CALL_S

    def as_chosen(self, target: Target, present: Raw) -> bool:
        """Whether an object is still in the state that its target's `prior` tells. Asked right before the act, of the
        API server itself: what was chosen by may be older, and healing would put back what was so no more."""
        return True

    def perform(self, stage: Stage) -> None:
        """Hits `stage.targets`."""
        raise NotImplementedError

    def landed(self, target: Target, objects: Objects) -> str:
        """How the fault is seen to have landed on the target, or empty as long as it is not."""
        raise NotImplementedError

    def undo(self, target: Target) -> str:
        """What undoes it, for people."""
        raise NotImplementedError

    @classmethod
    def heal(cls, cluster: Cluster, intent: Intent) -> Healed:
        """Restores exactly the prior state; idempotent; looks before it says done."""
        return Healed(True, "nothing to undo")


# ── checks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Act:
    """One act of a step as the journal tells it. Times in seconds since the origin; None: never."""

    what: str
    target: Target
    ordered: float
    accepted: float | None
    landed: float | None
    how: str = ""
    error: str = ""
    healed: float | None = None
    """When what it changed was seen to be put back; None, too, for an act that needs no healing."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step: when it began, when its window ended (None: it never did), and its acts."""

    name: str
    verb: str
    began: float
    ended: float | None
    acts: tuple[Act, ...]
    refused: str = ""
    """Why a safety limit forbade it."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a step's action saw when it looked: its kind and data are the action's own."""

    at: float
    step: str
    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ConditionRecord:
    """One look at a condition of the steady state."""

    at: float
    phase: str
    condition: str
    value: float | None
    holds: bool | None
    """None: it could not be decided."""
    reason: str = ""


@dataclass(frozen=True)
class Record:
    """A finished run, as read from its folder: all that judging may look at."""

    run: str
    namespace: str
    info: ClusterInfo
    origin_unix: float
    scrape_interval_s: float
    ended: float
    steps: tuple[StepRecord, ...]
    phases: Mapping[str, tuple[float, float]]
    """Name to (began, ended)."""
    conditions: tuple[ConditionRecord, ...]
    events: tuple[WatchEvent, ...]
    pulse: tuple[Sample, ...]
    locust: tuple[Sample, ...]
    pulse_period_s: float
    answers: Mapping[str, Answer]
    """Range answers by metric name, over the whole run."""
    metrics: Mapping[str, str]
    """The experiment's named queries, filled in."""
    statuses: tuple[Mapping[str, Any], ...] = ()
    """What the load said of itself once a second: at, who, users, cpu, late_p99_s, clock_s, not_sent …"""
    notes: tuple[str, ...] = ()
    sights: tuple[Sight, ...] = ()
    ledger: tuple[Mapping[str, Any], ...] = ()
    """What the built-in writers learned, in the order of learning (see load/writer.py); empty for other loads."""
    commit: str = ""
    """Of the repository that the experiment was run from; `-dirty` behind it: with changes. Empty: it is not known."""

    @property
    def load_clock_s(self) -> float:
        """How far the times of the load's samples may be from the run's own: zero where they share a clock."""
        return max((float(status.get("clock_s", 0.0)) for status in self.statuses), default=0.0)

    def step(self, name: str) -> StepRecord | None:
        return next((s for s in self.steps if s.name == name), None)


class Check(Part):
    """What must follow: judges one expectation."""

    kind: ClassVar[str]
    """Its key in the experiment file."""

    def steps(self) -> Sequence[str]:
        """The steps that it names; they must exist."""
        return ()

    def metrics(self) -> Mapping[str, str]:
        """Names to queries that it needs beyond those that the experiment names."""
        return {}

    def rests_on_load(self) -> bool:
        """Whether it judges the recorded requests: then it decides nothing when the load measured itself."""
        return False

    def times_requests(self) -> bool:
        """Whether it judges how long requests took: then a load that was held up now and then convicts nobody."""
        return False

    def title(self) -> str:
        """The expectation in one line, for reports."""
        raise NotImplementedError

    def happened(self, finding: Finding, measured: str) -> str:
        """What was measured, as the verdict's sentence begins: by default beside what was expected."""
        return f"{finding.name}, measured {measured}"

    def judge(self, record: Record) -> Finding:
        """The finding. Whatever it raises becomes an inconclusive one."""
        raise NotImplementedError
