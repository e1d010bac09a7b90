"""YAML to Experiment, every error with file:line:column and what to write instead; and an Experiment back to YAML.

The steps' verbs and the expectations' kinds are the keys of the registries, so an action or check that is added is
known here, in the JSON schema and in the messages at once.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import AfterValidator, BaseModel, Field, ValidationError, create_model, field_validator, model_validator

from chaoskit import promql, yamlfile
from chaoskit.actions import ACTIONS
from chaoskit.checks import CHECKS
from chaoskit.checks.metric import ConditionField, Metric
from chaoskit.checks.outage import Outage
from chaoskit.conditions import MEASURES, Condition
from chaoskit.contracts import Action, Check, Count, Part, Rate, Seconds, Share
from chaoskit.errors import ExperimentError
from chaoskit.units import shown, write_duration
from chaoskit.yamlfile import Document, Path_

REFAPP = "refapp"
SHOPPER, WRITER, NO_LOCUST = "shopper", "writer", "none"
SHOPPER_FILE = Path(__file__).parent / "load" / "shopper.py"
BUILT_IN = {SHOPPER: SHOPPER_FILE, WRITER: SHOPPER_FILE.with_name("writer.py")}
LONGEST_NAME = 120
MOST_PROBLEMS = 20
"""So many are told at once; who has more has one cause for many of them."""
VARIABLES = ("namespace", "window", "service")


def _one_line(value: str) -> str:
    if not 0 < len(value) <= LONGEST_NAME or not value.isprintable() or not value.strip():
        raise ValueError(f"write one line of 1 to {LONGEST_NAME} characters")
    return value


Line = Annotated[str, AfterValidator(_one_line)]


class App(Part):
    """What is tested."""

    short_form: ClassVar[bool] = True
    manifests: str = Field(REFAPP, description="refapp, or a file or folder of manifests, relative to this file")
    namespace: str = Field("", description="a namespace that is there already; then nothing is deployed")
    service: str = Field("front", description="the Service that users reach the app by")
    port: Count = Field(80, ge=1, le=65535, description="its port")
    url: str = Field("", description="the app's address, where the Service has none that the load can reach")
    ready_within: Seconds = Field(90.0, description="how long it may take to become ready")

    @field_validator("url")
    @classmethod
    def _without_password(cls, value: str) -> str:
        if "@" in value.partition("://")[2].partition("/")[0]:
            raise ValueError("an address with a user or password is not kept; let your Locust file read them elsewhere")
        return value

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        """`app: refapp` is short for `app: {manifests: refapp}`."""
        return {"manifests": value} if isinstance(value, str) else value


class Pulse(Part):
    """One request on a fixed schedule, whatever the service does: it measures outages."""

    path: str = Field("/", pattern=r"^/\S*$", description="what it asks for")
    period: Seconds = Field(0.01, ge=0.002, le=10, description="one request each")
    timeout: Seconds = Field(1.0, gt=0, le=30, description="an answer later than this is no answer")


class Load(Part):
    """Locust users, and the pulse beside them."""

    locustfile: str = Field(SHOPPER, description="shopper or writer (both built in), none, or a Locust file of yours")
    users: Count = Field(20, ge=1, le=100_000)
    spawn_rate: Rate = Field(100.0, gt=0, description="users started a second")
    workers: Count = Field(
        0, ge=0, le=1000, description="Locust workers in pods, and the pulse in one; 0: all on chaoskit's own machine"
    )
    must_reach: Rate | None = Field(None, description="good answers a second in the steady state, else inconclusive")
    pulse: Pulse = Pulse()


class Steady(Part):
    """What holds before the first step, and again at the end."""

    hold: tuple[ConditionField, ...] = Field(min_length=1, description="conditions, as in p99 < 300ms")
    for_: Seconds = Field(10.0, alias="for", gt=0, description="all of them, for this long")
    within: Seconds = Field(60.0, gt=0, description="given up after this")


class Safety(Part):
    """Limits, checked when targets are chosen and again right before each act."""

    at_most: Share = Field(0.5, description="share of a workload's pods that may be hit; one is always allowed")
    nodes_at_most: Share = Field(0.34, description="share of the nodes that may be hit; one is always allowed")
    keep_ready: Count = Field(0, ge=0, description="ready pods of the workload that must be left")
    stop_if: tuple[ConditionField, ...] = Field((), description="stop and heal as soon as one of these holds")
    platform: bool = Field(
        False, strict=True, description="the platform itself may be hit: only on a cluster that chaoskit made"
    )


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    action: Action
    watch_s: float


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment, valid in itself. `folder` is where its relative paths start."""

    name: str
    why: str
    app: App
    load: Load | None
    metrics: Mapping[str, str]
    steady_state: Steady | None
    steps: tuple[Step, ...]
    expect: tuple[Check, ...]
    safety: Safety
    labels: Mapping[str, str]
    repeat: int = 1
    folder: Path = Path()
    warnings: tuple[str, ...] = field(default=(), compare=False)
    """What its author should know and need not change, each with its place in the file."""

    @property
    def from_inside(self) -> bool:
        """Whether its load comes from pods of the cluster."""
        return self.load is not None and self.load.workers > 0

    @property
    def locustfile(self) -> Path | None:
        """The Locust file; None where only the pulse is sent."""
        if self.load is None or self.load.locustfile == NO_LOCUST:
            return None
        return self.own_locustfile or BUILT_IN[self.load.locustfile]

    @property
    def own_locustfile(self) -> Path | None:
        """The Locust file, if it is the user's own: it may not import."""
        if self.load is None or self.load.locustfile in (*BUILT_IN, NO_LOCUST):
            return None
        return self.folder / self.load.locustfile


# ── the file's model, made from the registries ───────────────────────────────────────────────────────────────────────


def _optional(parts: Mapping[str, type[Part]]) -> dict[str, Any]:
    return {key: (part | None, Field(None, description=(part.__doc__ or "").strip())) for key, part in parts.items()}


def _exactly_one(kind: str, keys: Iterable[str]) -> Any:  # noqa: ANN401 - a pydantic decorator
    names = tuple(keys)

    def check(self: BaseModel) -> BaseModel:
        given = [key for key in names if getattr(self, key) is not None]
        if len(given) != 1:
            said = f"says {len(given)}: {', '.join(given)}" if given else "says none"
            raise ValueError(f"give exactly one {kind} of: {', '.join(names)}; this {said}")
        return self

    return model_validator(mode="after")(check)


StepFile: type[BaseModel] = create_model(
    "Step",
    __base__=Part,
    __doc__="One action, and how long its consequences are watched.",
    __validators__={"one": _exactly_one("action", ACTIONS)},
    name=(Line, Field(description="what is done, in a few words")),
    watch=(Seconds, Field(30.0, gt=0, description="how long its consequences are watched")),
    **_optional(ACTIONS),
)
ExpectationFile: type[BaseModel] = create_model(
    "Expectation",
    __base__=Part,
    __doc__="One thing that must follow.",
    __validators__={"one": _exactly_one("expectation", CHECKS)},
    **_optional(CHECKS),
)


class ExperimentFile(Part):
    """An experiment of chaoskit."""

    name: Line = Field(description="one line that says what is expected")
    why: str = Field("", description="what it would cost if it were not so")
    labels: dict[str, str] = Field({}, description="free labels, as in tier: nightly")
    repeat: Count = Field(1, ge=1, le=1000, description="how many times it is run, each with the next seed")
    app: App = App()
    load: Load | Literal["none"] = Load()
    metrics: dict[str, str] = Field({}, description="named PromQL; $namespace, $window and $service are filled in")
    steady_state: Steady | None = None
    steps: tuple[StepFile, ...] = Field(min_length=1)
    expect: tuple[ExpectationFile, ...] = Field(
        min_length=1, description="what must follow; an experiment that expects nothing proves nothing"
    )
    safety: Safety = Safety()

    @field_validator("metrics")
    @classmethod
    def _names(cls, value: dict[str, str]) -> dict[str, str]:
        for key in value:
            if key in MEASURES:
                raise ValueError(f"{key!r} is one of the load's own measures; choose another name")
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,60}", key):
                raise ValueError(f"{key!r} is no name; use letters, digits and _")
        return value


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def load(path: Path) -> Experiment:
    """Reads and checks an experiment. ExperimentError carries every problem found."""
    return from_document(yamlfile.load(path), path.parent)


def loads(text: str, file: str = "experiment", folder: Path = Path()) -> Experiment:
    return from_document(yamlfile.loads(text, file), folder)


def from_document(document: Document, folder: Path) -> Experiment:
    if not isinstance(document.data, dict):
        raise ExperimentError([f"{document.file}:1:1: an experiment is a mapping with name, steps and expect"])
    try:
        parsed = ExperimentFile.model_validate(document.data)
    except ValidationError as error:
        raise ExperimentError(_problems(document, error)) from error
    experiment = _assemble(parsed, folder)
    if found := list(_contradictions(experiment, document)):
        raise ExperimentError(found)
    warnings = (*_concerns(experiment, document, refused=False), *_bucketed(experiment, document))
    return replace(experiment, warnings=warnings)


def _assemble(parsed: ExperimentFile, folder: Path) -> Experiment:
    steps = tuple(Step(s.name, _only(s, ACTIONS), s.watch) for s in parsed.steps)  # type: ignore[attr-defined]
    return Experiment(
        name=parsed.name,
        why=parsed.why,
        app=parsed.app,
        load=None if parsed.load == "none" else parsed.load,
        metrics=dict(parsed.metrics),
        steady_state=parsed.steady_state,
        steps=steps,
        expect=tuple(_only(e, CHECKS) for e in parsed.expect),
        safety=parsed.safety,
        labels=dict(parsed.labels),
        repeat=parsed.repeat,
        folder=folder,
    )


def _only(part: BaseModel, keys: Iterable[str]) -> Any:  # noqa: ANN401 - an Action or a Check, by which registry
    return next(found for key in keys if (found := getattr(part, key)) is not None)


def _contradictions(experiment: Experiment, document: Document) -> Iterable[str]:
    """What each part allows but the whole does not: names that nothing defines, or that stand twice."""
    names = [step.name for step in experiment.steps]
    for i, name in enumerate(names):
        if name in names[:i]:
            yield f"{document.place(('steps', i, 'name'))}: two steps are called {name!r}"
    yield from _unknown_steps(experiment, names, document)
    yield from _beyond_the_load(experiment, document)
    known = [*experiment.metrics, *MEASURES]
    for path, condition in conditions(experiment):
        if condition.name not in known:
            yield f"{document.place(path)}: nothing is called {condition.name!r}{_did_you_mean(condition.name, known)}"
        elif condition.name in MEASURES and (why := _unmeasured(condition.name, experiment.load)):
            yield f"{document.place(path)}: {condition.name!r} is a measure of {why}, and this experiment has none"
    for path, query in _queries(experiment):
        for variable in re.findall(r"\$\{?([A-Za-z_]\w*)", query.replace("$$", "")):
            if variable not in VARIABLES:
                hint = _did_you_mean(variable, VARIABLES)
                yield f"{document.place(path)}: ${variable} is not filled in{hint}"
    yield from _concerns(experiment, document, refused=True)


def _concerns(experiment: Experiment, document: Document, *, refused: bool) -> Iterable[str]:
    """What is wrong with the queries themselves."""
    for path, query in _queries(experiment):
        for concern in promql.concerns(query):
            if concern.refused == refused:
                yield f"{document.place(path)}: {path[-1]}: {concern.what}"


def _bucketed(experiment: Experiment, document: Document) -> Iterable[str]:
    """Limits of quantiles. Which buckets there are, only Prometheus knows."""
    for path, condition in conditions(experiment):
        if promql.quantile(experiment.metrics.get(condition.name, "")):
            yield (
                f"{document.place(path)}: {condition.text}: a quantile is known only to its bucket; unless the limit "
                "is a boundary, a value in its bucket decides nothing (chaoskit plan tells the boundaries)"
            )


def _queries(experiment: Experiment) -> Iterable[tuple[Path_, str]]:
    for name, query in experiment.metrics.items():
        yield ("metrics", name), query
    for i, check in enumerate(experiment.expect):
        for query in check.metrics().values():
            yield ("expect", i, check.kind, "witness"), query


def _unknown_steps(experiment: Experiment, names: Sequence[str], document: Document) -> Iterable[str]:
    for i, step in enumerate(experiment.steps):
        for named in step.action.steps():
            if named not in names[:i]:
                place = document.place(("steps", i, step.action.verb, "of"))
                yield f"{place}: no earlier step is called {named!r}{_did_you_mean(named, names[:i])}"
    for i, check in enumerate(experiment.expect):
        for named in check.steps():
            if named not in names:
                place = document.place(("expect", i, check.kind, "of"))
                yield f"{place}: no step is called {named!r}{_did_you_mean(named, names)}"


def _unmeasured(name: str, load: Load | None) -> str:
    """What a measure would need and the load does not have, or empty."""
    if load is None:
        return "the load"
    return "Locust's requests" if load.locustfile == NO_LOCUST and not name.startswith("pulse") else ""


def _not_from_inside(experiment: Experiment, load: Load, document: Document) -> Iterable[str]:
    """What a load in pods cannot do."""
    place = document.place(("load", "workers"))
    if load.locustfile == WRITER:
        yield f"{place}: the writer keeps one ledger, which many workers cannot; leave workers out"
    for step in experiment.steps:
        if step.action.hits_platform:
            yield (
                f"{place}: “{step.name}” hits the platform, through which a load in pods is spoken with; "
                "leave workers out"
            )


def _beyond_the_load(experiment: Experiment, document: Document) -> Iterable[str]:
    """What could never be decided by the load that there is."""
    load = experiment.load
    if load and load.locustfile == NO_LOCUST and load.must_reach is not None:
        yield f"{document.place(('load', 'must_reach'))}: must_reach counts Locust's requests, and locustfile is none"
    if load and load.workers:
        yield from _not_from_inside(experiment, load, document)
    if load is None or load.locustfile == NO_LOCUST:
        for i, step in enumerate(experiment.steps):
            if step.action.needs_users():
                place = document.place(("steps", i, step.action.verb))
                yield f"{place}: {step.action.verb} acts on Locust's users, and this experiment has none"
    for i, check in enumerate(experiment.expect):
        if not isinstance(check, Outage):
            continue
        if load is None:
            yield f"{document.place(('expect', i, 'outage'))}: outages are measured by the pulse, and load is none"
        elif check.at_most < 2 * load.pulse.period:
            least = write_duration(2 * load.pulse.period)
            yield (
                f"{document.place(('expect', i, 'outage', 'at_most'))}: the pulse can tell no less than two of its "
                f"periods ({least}); for no lost request at all, write at_most: {least} and lost: 0"
            )


def conditions(experiment: Experiment) -> Iterable[tuple[Path_, Condition]]:
    """All that is compared with a limit, each with its place in the file."""
    if experiment.steady_state:
        for i, condition in enumerate(experiment.steady_state.hold):
            yield ("steady_state", "hold", i), condition
    for i, condition in enumerate(experiment.safety.stop_if):
        yield ("safety", "stop_if", i), condition
    for i, check in enumerate(experiment.expect):
        if isinstance(check, Metric):
            yield ("expect", i, "metric", "holds"), check.holds


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, 1, 0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(known)}"


# ── errors ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _problems(document: Document, error: ValidationError) -> list[str]:
    found: dict[str, None] = {}
    for problem in error.errors(include_url=False):
        path = _path_in_file(problem["loc"], document)
        if _is_echo(problem, path):
            continue
        if len(found) == MOST_PROBLEMS:
            found["… and more; correct these first"] = None
            break
        found[f"{document.place(path)}: {_words(problem, path)}"] = None
    return list(found)


def _is_echo(problem: Any, path: Path_) -> bool:  # noqa: ANN401 - pydantic's ErrorDetails
    """A second complaint about what another one already says: the other half of a union, or a list that is short
    because its items are wrong."""
    if str(problem["loc"][-1]).startswith("literal["):
        return True
    return problem["type"] == "too_short" and bool(problem["input"]) and path[-1:] != ("hold",)


def _path_in_file(loc: tuple[int | str, ...], document: Document) -> Path_:
    """The part of pydantic's location that is a place in the file: its own marks of unions are left out."""
    path: Path_ = ()
    for piece in loc:
        if (*path, piece) in document.places or isinstance(piece, int) or piece is loc[-1]:
            path = (*path, piece)
    return path


def _words(problem: Any, path: Path_) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    kind, key = problem["type"], path[-1] if path else ""
    if kind == "extra_forbidden":
        return f"unknown key {shown(key)}{_did_you_mean(str(key), _known_keys(path))}"
    if kind == "missing":
        return f"{key!r} is missing here"
    if kind == "too_short" and key in ("expect", "steps", "hold"):
        why = {"expect": "an experiment that expects nothing proves nothing", "steps": "nothing would happen"}
        return f"{key!r} is empty: {why.get(str(key), 'give at least one condition')}"
    if kind in ("model_type", "tuple_type", "dict_type"):
        needed = "list" if kind == "tuple_type" else "mapping"
        return f"{key}: a {needed} is needed here, not {shown(problem['input'])}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{key}: {message[0].lower()}{message[1:]}" if key != "" else message


def _known_keys(path: Path_) -> list[str]:
    """The keys that may stand where an unknown one does."""
    model: Any = ExperimentFile
    for piece in path[:-1]:
        if isinstance(piece, int):
            continue
        model = _part_within(model.model_fields.get(str(piece)))
        if model is None:
            return []
    return [info.alias or key for key, info in model.model_fields.items()]


def _part_within(info: Any) -> type[Part] | None:  # noqa: ANN401 - a pydantic FieldInfo
    """The model that a field holds, through Optional and tuple."""
    waiting = [info.annotation] if info else []
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind  # type: ignore[return-value]
        waiting.extend(getattr(kind, "__args__", ()))
    return None


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def to_data(experiment: Experiment) -> dict[str, Any]:
    """The experiment as plain data that `loads` reads back as the same experiment."""
    data: dict[str, Any] = {"name": experiment.name, "why": experiment.why, "labels": dict(experiment.labels)}
    if experiment.repeat > 1:
        data["repeat"] = experiment.repeat
    data["app"] = _dump(experiment.app)
    data["load"] = _dump(experiment.load) if experiment.load else "none"
    data["metrics"] = dict(experiment.metrics)
    if experiment.steady_state:
        data["steady_state"] = _dump(experiment.steady_state)
    data["steps"] = [
        {"name": s.name, s.action.verb: _dump(s.action), "watch": write_duration(s.watch_s)} for s in experiment.steps
    ]
    data["expect"] = [{check.kind: _dump(check)} for check in experiment.expect]
    data["safety"] = _dump(experiment.safety)
    return data


def _dump(part: Part) -> dict[str, Any]:
    return part.model_dump(mode="json", by_alias=True, exclude_none=True)


class _Dumper(yaml.SafeDumper):
    """Quotes every text that `yamlfile` would read as something else: its scalars are those of YAML 1.2."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    misread = yamlfile.scalar(value) != value
    style = "|" if "\n" in value else "'" if misread else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def dumps(experiment: Experiment) -> str:
    return yaml.dump(to_data(experiment), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=LONGEST_NAME)


def schema() -> str:
    """The JSON schema of the experiment file, for editors."""
    found = ExperimentFile.model_json_schema(by_alias=True)
    return json.dumps(found | {"$schema": "https://json-schema.org/draft/2020-12/schema"}, indent=2) + "\n"


def with_changes(experiment: Experiment, changes: Mapping[str, Any]) -> Experiment:
    """The experiment with parts overridden, as in {"load": {"users": 80}}; checked as a file would be."""
    data = to_data(experiment)
    for key, value in changes.items():
        present = data.get(key)
        data[key] = {**present, **value} if isinstance(present, dict) and isinstance(value, Mapping) else value
    document = Document(f"{experiment.name} with changes", data, dict.fromkeys(_paths(data), (1, 1)))
    return from_document(document, experiment.folder)


def _paths(data: object, path: Path_ = ()) -> Iterable[Path_]:
    """The path of each part of plain data."""
    yield path
    if isinstance(data, Mapping):
        for key, part in data.items():
            yield from _paths(part, (*path, str(key)))
    elif isinstance(data, list):
        for i, part in enumerate(data):
            yield from _paths(part, (*path, i))
