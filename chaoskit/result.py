"""The result of a run: the verdict, its findings and what they rest on; as `result.json`, versioned."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from chaoskit.model import ClusterInfo, Finding, Target, Verdict

SCHEMA = 1
FILE = "result.json"


@dataclass(frozen=True, slots=True)
class Result:
    """Everything that a report says. Times are seconds since the run's origin, unless they end in `_unix`."""

    experiment: str
    why: str
    run: str
    namespace: str
    seed: int
    verdict: Verdict
    exit_code: int
    sentence: str
    """The verdict as a sentence, with the number that decided it."""
    findings: tuple[Finding, ...]
    targets: tuple[Target, ...]
    cluster: ClusterInfo
    started_unix: float
    seconds: float
    how: str
    """complete, interrupted, stopped or broken."""
    error: str = ""
    unhealed: tuple[tuple[str, str], ...] = ()
    """(what is left broken, what to type)."""
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    journal: str = ""
    """The digest of the journal's last line when it was judged."""
    commit: str = ""
    schema: int = SCHEMA

    @property
    def asked(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.asked)


def to_json(result: Result) -> str:
    """Text of result.json. NaN and infinities become texts: JSON knows none."""
    body = {"schema": result.schema, **asdict(result)}
    return json.dumps(_plain(body), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str) -> Result:
    return TypeAdapter(Result).validate_json(text)


def write(result: Result, folder: Path) -> Path:
    path = folder / FILE
    path.write_text(to_json(result), encoding="utf-8")
    return path


def judged_journal(folder: Path) -> str:
    """The journal's digest when the folder was judged the last time; empty where it was not, or says nothing of it."""
    try:
        body = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return str(body.get("journal", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Verdict):
        return value.value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
