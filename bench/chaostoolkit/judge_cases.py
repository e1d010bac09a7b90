"""Runs experiments with chaostoolkit, in an environment that has it, and tells what became of each.

    python judge_cases.py CASES.json OUTCOMES.json

CASES.json holds experiments by name. An outcome is `passed` (the steady state was met), `failed` (it was not),
`undecided` (the probe failed, so that "its tolerance could not be validated") or `traceback: …`. Knows nothing of
chaoskit.
"""

from __future__ import annotations

import json
import logging
import operator
import sys
from pathlib import Path
from typing import Any

COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq}


def keeps(value: dict[str, Any] | None = None, op: str = "<", limit: float = 0.0) -> bool:
    """The tolerance that a user writes in Python: each value that Prometheus gave keeps the limit."""
    assert value is not None
    for series in value["data"]["result"]:
        for _, number in series["values"] if "values" in series else [series["value"]]:
            if not COMPARE[op](float(number), limit):
                return False
    return True


def outcome(experiment: dict[str, Any]) -> str:
    from chaoslib.experiment import ensure_experiment_is_valid, run_experiment
    from chaoslib.types import Strategy

    try:
        ensure_experiment_is_valid(experiment)
        journal = run_experiment(experiment, strategy=Strategy.BEFORE_METHOD)
    except Exception as error:  # Whatever its user would see as a traceback.
        return f"traceback: {type(error).__name__}: {error}"
    before = journal["steady_states"]["before"]
    if before["steady_state_met"]:
        return "passed"
    return "undecided" if any(probe["status"] == "failed" for probe in before["probes"]) else "failed"


def main() -> None:
    logging.disable(logging.CRITICAL)
    cases, outcomes = map(Path, sys.argv[1:])
    sys.path.insert(0, str(Path(__file__).parent))
    found = {name: outcome(experiment) for name, experiment in json.loads(cases.read_text()).items()}
    outcomes.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
