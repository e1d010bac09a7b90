"""How findings, times and commands are worded: the same in every report."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from datetime import UTC, datetime

from chaoskit import units
from chaoskit.model import Finding, Verdict
from chaoskit.result import Result

_UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
"""Control characters (a terminal obeys them), surrogates (UTF-8 has none), marks that turn the direction of writing."""


def clean(text: str) -> str:
    """The text without what a terminal, an XML parser or a reader could be deceived by; lines and tabs stay."""
    return _UNPRINTABLE.sub("�", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    return " ".join(clean(text).split())


def shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


count = units.count


def measured(finding: Finding) -> str:
    """`1.24 s ± 10 ms`, or a dash where nothing was measured; beside a limit, so that it can be told from it."""
    return one_line(units.show(finding.value, finding.unit, finding.uncertainty, apart=finding.margin))


def shown(value: float | None, unit: str, uncertainty: float | None = None) -> str:
    """A value with no more digits than its uncertainty allows."""
    return one_line(units.show(value, unit, uncertainty))


def margin(finding: Finding) -> str:
    """How far from the limit, and on which side; empty where there is no number."""
    if finding.margin is None:
        return ""
    if finding.margin == 0:
        return "exactly at the limit"
    side = "to spare" if finding.margin > 0 else "beyond the limit"
    away = units.rounded(finding.margin, finding.uncertainty)[0] if finding.uncertainty else finding.margin
    return f"{units.show(abs(away or finding.margin), finding.unit)} {side}"


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """Failed first, then inconclusive, then passed; in the experiment's order within each."""
    return sorted(findings, key=lambda f: -f.verdict.rank)


def doubts(result: Result) -> list[Finding]:
    """What chaoskit checks by itself and did not find in order."""
    return [f for f in ranked(result.findings) if not f.asked and f.verdict is not Verdict.PASSED]


ENDINGS = {
    "complete": "came to its end",
    "interrupted": "was interrupted",
    "stopped": "was stopped by a safety limit",
    "broken": "broke off",
}


def ended(how: str) -> str:
    """How a run ended, as the end of a sentence about it."""
    return ENDINGS.get(how, how)


def moment(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def lasting(seconds: float) -> str:
    """`42.5 s`, or `10 min 5 s` where minutes read better."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def reproduce(result: Result) -> tuple[str, ...]:
    """The commands that repeat the run and judge it again, typed in its folder."""
    run = ["chaoskit", "run", "experiment.yaml", "--seed", str(result.seed)]
    if result.cluster.provider == "existing":
        run += ["--context", one_line(result.cluster.context), "--namespace", one_line(result.namespace)]
    return shlex.join(run), "chaoskit judge ."


def stamp(unix: float) -> str:
    """The moment as ISO 8601 to the second, in UTC."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%S")
