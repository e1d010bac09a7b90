"""Several experiments that one command runs one after another: what became of each, and of all together. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chaoskit.errors import EXIT_INTERRUPTED, EXIT_UNHEALED
from chaoskit.model import Verdict, worst
from chaoskit.units import count

if TYPE_CHECKING:
    from chaoskit.result import Result

INDEX, JUNIT, SUMMARY = "index.html", "junit.xml", "summary.md"
PAGES = (INDEX, JUNIT, SUMMARY)
"""What a batch has in its folder beside its runs."""
CODES = (0, 3, 2, 1, 4, EXIT_INTERRUPTED, EXIT_UNHEALED)
"""Exit codes from good to bad: held, inconclusive, could not be run, failed, stopped, interrupted, unhealed."""
STOPS = {"never": (), "unhealed": (5,), "failed": (1, 4, 5), "inconclusive": (3, 2, 1, 4, 5)}
"""What ends a batch before all had their turn, by the name that users write; the exit codes that do."""


def worst_code(codes: Iterable[int]) -> int:
    return max(codes, key=CODES.index, default=0)


@dataclass(frozen=True, slots=True)
class Done:
    """A run of a batch, and its folder as seen from the batch's."""

    result: Result
    folder: str


@dataclass(frozen=True, slots=True)
class Part:
    """One experiment of a batch. It was run, once or several times; or could not be (`error`); or had no turn yet."""

    name: str
    why: str
    file: str
    runs: tuple[Done, ...] = ()
    error: str = ""
    error_code: int = 0

    @property
    def codes(self) -> tuple[int, ...]:
        return (*(done.result.exit_code for done in self.runs), *([self.error_code] if self.error else []))

    @property
    def verdict(self) -> Verdict | None:
        """The worst of its runs; inconclusive where it could not be run; None where it had no turn."""
        verdicts = [done.result.verdict for done in self.runs]
        if self.error:
            verdicts.append(Verdict.INCONCLUSIVE)
        return worst(verdicts) if verdicts else None

    @property
    def decided(self) -> str:
        """What decided: the sentence of the first of the worst runs, without verdict and name; or why there is none."""
        if self.error and self.verdict is Verdict.INCONCLUSIVE:
            return f"could not be run: {self.error}"
        if not self.runs:
            return "was not run"
        first = max((done.result for done in self.runs), key=lambda result: result.verdict.rank)
        sentence = first.sentence.removeprefix(f"{first.verdict.value}: ").removeprefix(f"{first.experiment}; ")
        return sentence if len(self.runs) == 1 else f"{self._how_often}; {sentence}"

    @property
    def _how_often(self) -> str:
        held = sum(done.result.verdict is Verdict.PASSED for done in self.runs)
        return f"held in {held} of {len(self.runs)} runs"

    @property
    def seconds(self) -> float:
        return sum(done.result.seconds for done in self.runs)


@dataclass(frozen=True, slots=True)
class Batch:
    """All of them, in the order in which they have their turns."""

    parts: tuple[Part, ...]
    began_unix: float
    ended_unix: float
    over: bool = False
    """False while it is under way (or was killed)."""
    cut: str = ""
    """Why not all had their turn."""
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        return worst_code(
            [*(code for part in self.parts for code in part.codes), *([EXIT_INTERRUPTED] if self.interrupted else [])]
        )

    @property
    def verdict(self) -> Verdict:
        """Passed only if every experiment had its turn and held."""
        return worst([part.verdict or Verdict.INCONCLUSIVE for part in self.parts])

    @property
    def left(self) -> bool:
        """Whether some had no turn."""
        return any(part.verdict is None for part in self.parts)

    @property
    def results(self) -> tuple[Result, ...]:
        return tuple(done.result for part in self.parts for done in part.runs)

    @property
    def sentence(self) -> str:
        """`12 of 14 experiments held; 1 failed, 1 was not run: interrupted`."""
        verdicts = [part.verdict for part in self.parts]
        told = [
            _how_many(verdicts.count(Verdict.FAILED), "failed"),
            _how_many(sum(self._undecided), "inconclusive"),
            _how_many(sum(bool(part.error) for part in self.parts), "could not be run"),
            _how_many(verdicts.count(None), f"not run{f': {self.cut}' if self.cut else '' if self.over else ' yet'}"),
        ]
        held = f"{verdicts.count(Verdict.PASSED)} of {count(len(verdicts), 'experiment')} held"
        return "; ".join([held, *filter(None, [", ".join(filter(None, told))])])

    @property
    def _undecided(self) -> Sequence[bool]:
        return [part.verdict is Verdict.INCONCLUSIVE and not part.error for part in self.parts]


def _how_many(number: int, what: str) -> str:
    return f"{number} {what}" if number else ""


def ranked(parts: Iterable[Part]) -> list[Part]:
    """Failed first, passed last; in their order within each."""
    return sorted(parts, key=lambda part: -_rank(part.verdict))


def _rank(verdict: Verdict | None) -> float:
    return 0.5 if verdict is None else verdict.rank
