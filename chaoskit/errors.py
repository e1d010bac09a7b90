"""The errors that chaoskit raises, and the exit code of each.

    ChaoskitError
    ├── UsageError             2  the command or its options make no sense
    ├── ExperimentError        2  the experiment file is wrong: carries every problem found, each with its place
    ├── ToolError              2  this machine lacks a program, a right or a kernel feature
    ├── ClusterError           2  a cluster could not be started, reached or prepared
    ├── RefusedError           4  a safety limit forbids the act
    └── PortError              3  a call through a port failed: the system under test or a witness did not answer
        ├── NotFoundError         the object is gone
        ├── ConflictError         it changed meanwhile (409), or its UID is another one
        ├── ForbiddenError        the right is missing (401, 403)
        ├── BudgetError           a disruption budget refuses the eviction (429)
        └── UnreachableError      no answer: whether the call took effect is unknown

Foreign errors become one of these in `adapters/`, always with `raise … from`.
"""

from __future__ import annotations

from typing import ClassVar

EXIT_UNHEALED = 5
"""Of a run, or of a healing, that left something broken: wins over all others."""
EXIT_INTERRUPTED = 130


class ChaoskitError(Exception):
    """What went wrong, where, why, and the next thing to type."""

    exit_code: ClassVar[int] = 2

    def __init__(self, what: str, *, where: str = "", why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.why:
            text += f"\n  because: {self.why}"
        if self.fix:
            text += f"\n  next: {self.fix}"
        return text


class UsageError(ChaoskitError):
    """The command or its options make no sense."""


class ToolError(ChaoskitError):
    """This machine lacks a program, a right or a kernel feature."""


class ClusterError(ChaoskitError):
    """A cluster could not be started, reached or prepared."""


class RefusedError(ChaoskitError):
    """A safety limit forbids the act."""

    exit_code = 4


class ExperimentError(ChaoskitError):
    """The experiment file is wrong. `problems` holds each one as a line `file:line:column: what (fix)`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class PortError(ChaoskitError):
    """A call through a port failed."""

    exit_code = 3


class NotFoundError(PortError):
    """The object is gone."""


class ConflictError(PortError):
    """The object changed meanwhile, or its name belongs to another UID now."""


class ForbiddenError(PortError):
    """The right is missing."""


class BudgetError(PortError):
    """A disruption budget refuses the eviction for now."""


class UnreachableError(PortError):
    """No answer came: whether the call took effect is unknown."""
