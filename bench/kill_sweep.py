"""chaoskit is killed, at every line of its journal and at random; then it is healed, and nothing may be left.

    python bench/kill_sweep.py                               all three parts, as published
    python bench/kill_sweep.py --fake 3000                   in the simulation, for each action
    python bench/kill_sweep.py --real 20 --first 40          on the embedded cluster: kills 40 to 59
    python bench/kill_sweep.py --chaostoolkit 20 --first 40  the same for chaostoolkit with chaostoolkit-kubernetes

A number gives the same run and the same kill each time. What kills came to is kept in docs/bench/kill_sweep.jsonl, so
that a sweep can be made in slices; a kill that is repeated replaces the older one. Writes docs/bench/kill_sweep.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from sweep import chaostoolkit, fake, real

TABLE = Path(__file__).parent.parent / "docs" / "bench" / "kill_sweep.md"
KEPT = TABLE.with_suffix(".jsonl")
FAKE, REAL = 3000, 100
EXIT_ENDED = 143
Row = Mapping[str, Any]
HEAD = """\
# What is left when a run is killed

`python bench/kill_sweep.py`: a run is killed by SIGKILL, then `chaoskit heal` follows (or a janitor's healing), and the
whole cluster is compared with what it was before: nodes, namespaces, workloads, Services, budgets, claims, marks and
Leases. {cores} cores, Python {python}.

| | kills | with something left | rate |
|---|---|---|---|
{rates}
"""
SIMULATED = """\
## Simulated

In memory ([how](../safety.md#how-it-is-tried)), {days}. "At a line": before it, after it, or with half of it written,
for every line of a run's journal; "elsewhere": before or after a call, or at a moment. The API loses answers, answers
409, 429 and 500, resets connections and goes away; watches break, as a 410 makes them; the wall clock jumps; and the
healing is killed, too. Each run takes a step of the action, and others beside it.

| action | killed at a line | elsewhere | rules broken |
|---|---|---|---|
{table}
"""
REAL_PART = """\
## On a real cluster

Processes of their own on the embedded cluster, {days}, killed as soon as their journal had a random number of lines, or
up to 4 s after its first; healed by the run's folder, by its id alone, or by the cluster's own janitor. {unkind} of
{all} runs reached the API, and were healed, through a proxy that lets 8 % of the requests meet trouble: an answer lost,
a connection reset, 409, 410, 429, 500, a watch cut off. The clock of a real machine was left alone. "Broken by then":
something differed right after the kill.

| action | kills | broken by then | left in the end |
|---|---|---|---|
{table}
{told}"""
THEIRS = """\
## chaostoolkit

{versions}, {days}, with `--rollback-strategy always` and `uncordon_node` as its rollback, on the same cluster with a
kind API, killed up to {pause} s after its action began. It has no command that finishes a killed run: the cluster was
looked at {stays:.0f} s later.

| action | kills | broken by then | left in the end |
|---|---|---|---|
{table}
"""


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_ENDED))
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for part in ("fake", "real", "chaostoolkit"):
        options.add_argument(f"--{part}", type=int, default=0, metavar="KILLS")
    options.add_argument("--first", type=int, default=0, help="the number of the first kill, of the latter two")
    chosen = options.parse_args()
    if not (chosen.fake or chosen.real or chosen.chaostoolkit):
        chosen.fake, chosen.real, chosen.chaostoolkit = FAKE, REAL, REAL
    for row in _sweep(chosen):
        keep(row)
        _say(row)
    rows = kept()
    TABLE.write_text(report(rows))
    return 1 if any(row["left"] for row in rows if row["part"] != "chaostoolkit") else 0


def _sweep(chosen: argparse.Namespace) -> Iterable[Row]:
    numbers = range(chosen.first, chosen.first + max(chosen.real, chosen.chaostoolkit))
    about = {"on": time.strftime("%Y-%m-%d")}
    if chosen.fake:
        for swept in fake.sweep(chosen.fake):
            row = asdict(swept)
            yield {"part": "fake", "number": swept.action, "left": row.pop("failed"), **row, **about}
    if chosen.real:
        for killed in real.sweep(numbers[: chosen.real]):
            yield {**asdict(killed), **about}
    if chosen.chaostoolkit:
        versions = chaostoolkit.install()
        for killed in chaostoolkit.sweep(numbers[: chosen.chaostoolkit]):
            yield {**asdict(killed), **about, "versions": versions}


def _say(row: Row) -> None:
    left = "; ".join(row["left"]) or "nothing left"
    print(f"{row['part']} {row['number']} {row['action']}: {row.get('killed', '')} {left}", flush=True)


# ── what is kept ─────────────────────────────────────────────────────────────────────────────────────────────────────


def kept() -> list[Row]:
    return [json.loads(line) for line in KEPT.read_text().splitlines()] if KEPT.exists() else []


def keep(row: Row) -> None:
    others = [r for r in kept() if (r["part"], r["number"]) != (row["part"], row["number"])]
    KEPT.write_text("".join(json.dumps(r) + "\n" for r in (*others, row)))


# ── telling ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def report(rows: Sequence[Row]) -> str:
    simulated = [r for r in rows if r["part"] == "fake"]
    ours = [r for r in rows if r["part"] == "chaoskit" and r["killed"]]
    theirs = [r for r in rows if r["part"] == "chaostoolkit" and r["killed"]]
    other = theirs[0]["versions"] if theirs else "chaostoolkit"
    rates = [
        _rate("chaoskit, simulated", sum(map(_kills, simulated)), sum(len(r["left"]) for r in simulated)),
        _rate("chaoskit, on a real cluster", len(ours), sum(bool(r["left"]) for r in ours)),
        _rate(f"{other}, on the same", len(theirs), sum(bool(r["left"]) for r in theirs)),
    ]
    parts = [HEAD.format(cores=os.cpu_count(), python=platform.python_version(), rates="\n".join(rates))]
    if simulated:
        parts.append(SIMULATED.format(days=_days(simulated), table="\n".join(map(_simulated, simulated))))
    if ours:
        told = [
            f"- kill {r['number']} ({r['action']}, {r['killed']}): {'; '.join(r['left'])}" for r in ours if r["left"]
        ]
        parts.append(
            REAL_PART.format(
                days=_days(ours),
                unkind=sum(r["unkind"] for r in ours),
                all=len(ours),
                table=_actions(ours),
                told="\n".join(["", *told]) if told else "",
            )
        )
    if theirs:
        parts.append(
            THEIRS.format(
                versions=other,
                days=_days(theirs),
                pause=chaostoolkit.PAUSE_S,
                stays=chaostoolkit.STAYS_AFTER_S,
                table=_actions(theirs),
            )
        )
    return "\n".join(parts)


def _kills(row: Row) -> int:
    return int(row["at_lines"] + row["elsewhere"])


def _rate(what: str, kills: int, left: int) -> str:
    return f"| {what} | {kills} | {left} | {f'{left / kills:.1%}' if kills else 'not measured'} |"


def _simulated(row: Row) -> str:
    return f"| `{row['action']}` | {row['at_lines']} | {row['elsewhere']} | {len(row['left'])} |"


def _actions(rows: Sequence[Row]) -> str:
    return "\n".join(_action(action, rows) for action in sorted({r["action"] for r in rows}))


def _action(action: str, rows: Sequence[Row]) -> str:
    """A Lease says that a run is under way, and breaks nothing."""
    mine = [r for r in rows if r["action"] == action]
    broken = sum(any(not left.startswith("lease/") for left in r["left_by_kill"]) for r in mine)
    return f"| `{action}` | {len(mine)} | {broken} | {sum(bool(r['left']) for r in mine)} |"


def _days(rows: Sequence[Row]) -> str:
    days = sorted({str(r["on"]) for r in rows})
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


if __name__ == "__main__":
    sys.exit(main())
