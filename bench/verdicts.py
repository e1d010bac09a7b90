"""Whose verdicts can be believed: the corpus' cases of Prometheus' answers, put to chaoskit and to chaostoolkit.

    python bench/verdicts.py

A server on the loopback answers as Prometheus does, with exactly the data of the unit tests' labelled corpus. chaoskit
asks it through its adapter and judges by its judge; chaostoolkit asks it with the probes of chaostoolkit-prometheus, in
an environment of its own, which is made on the first run. Writes docs/bench/verdicts.md. Takes half a minute.
"""

from __future__ import annotations

import argparse
import datetime
import http.server
import json
import math
import operator
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import venv
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chaoskit import buckets, judge, promql
from chaoskit.adapters.prometheus import PrometheusMetrics
from chaoskit.cluster.parts.store import cache_folder
from chaoskit.conditions import Condition
from chaoskit.model import Answer, Series, Verdict
from chaoskit.plan import queries

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "unit"))

from corpus import CASES, Case  # noqa: E402 - the unit tests' own
from streams import ORIGIN_UNIX, record  # noqa: E402
from test_corpus import ENDED, experiment  # noqa: E402

TABLE = ROOT / "docs" / "bench" / "verdicts.md"
OTHER = Path(__file__).parent / "chaostoolkit" / "judge_cases.py"
PACKAGES = (
    "chaostoolkit==1.19.0",
    "chaostoolkit-lib[jsonpath]==1.44.0",
    "chaostoolkit-prometheus==0.6.0",
    "logzero==1.7.0",  # chaostoolkit-prometheus imports it and does not ask for it.
)
BEGAN, ENDED_AT = 10.0, 20.0
"""The step's window in the corpus."""
COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!="}
PASSED, FAILED, UNDECIDED, TRACEBACK = "passed", "failed", "undecided", "traceback"
SAID = {Verdict.PASSED: PASSED, Verdict.FAILED: FAILED, Verdict.INCONCLUSIVE: UNDECIDED}


# ── the cases ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Put:
    """A case as it is put to both: the condition, if on the last value only, and Prometheus' answer to each query."""

    case: Case
    condition: Condition
    last: bool
    query: str
    answers: Mapping[str, Answer]

    @property
    def scrape_s(self) -> float:
        return float(self.case.record.get("scrape_interval_s", 1.0))

    @property
    def right(self) -> str:
        return SAID[self.case.finding or self.case.verdict]

    @property
    def violations(self) -> str:
        return f"({self.query}) {OPPOSITE[self.condition.op]} {self.condition.limit!r}"

    @property
    def kept(self) -> str:
        """1 where all series keep the limit, 0 where one does not."""
        one = f"min(({self.query}) {self.condition.op} bool {self.condition.limit!r})"
        return one if self.last else f"min_over_time({one}[{ENDED_AT - BEGAN:g}s:{self.scrape_s:g}s])"


def put() -> Iterator[Put]:
    """The cases that are about what Prometheus answers, and nothing else."""
    for case in CASES:
        asked = experiment(case).expect[0]
        answers = case.record.get("answers")
        others = set(case.record) - {"answers", "metrics", "scrape_interval_s"}
        if asked.kind != "metric" or not answers or "errors" not in answers or others or asks_in_vain(answers):
            continue
        query = case.record.get("metrics", {"errors": "q"})["errors"]
        about = {q: answers[named] for named, q in asked_about(case).items() if named in answers}
        yield with_comparisons(Put(case, asked.holds, asked.when == "at the end", query, about))


def asks_in_vain(answers: Mapping[str, Answer]) -> bool:
    """Whether what is not known is that for which only chaoskit asks: the buckets, the times of the scrapes."""
    about = [answer for named, answer in answers.items() if named != "errors"]
    return any(a.error or a.warnings or not a.series or [s.labels for s in a.series] == [{"le": "+Inf"}] for a in about)


def asked_about(case: Case) -> dict[str, str]:
    """What chaoskit asks, by name."""
    query = case.record.get("metrics", {"errors": "q"})["errors"]
    found = queries(replace(experiment(case), metrics={"errors": query}), "shop", 1.0)
    return {named: q for named, q in found.items() if not named.startswith(buckets.PREFIX) or promql.quantile(query)}


def with_comparisons(case: Put) -> Put:
    """With what Prometheus answers when the comparison is written into the query, as chaostoolkit needs it."""
    raw, limit = case.answers[case.query], case.condition.limit
    broken, held = COMPARE[OPPOSITE[case.condition.op]], COMPARE[case.condition.op]
    filtered = (Series(s.labels, tuple((t, v) for t, v in s.points if broken(v, limit))) for s in raw.series)
    each: dict[float, float] = {}
    for t, v in (point for series in raw.series for point in series.points):
        each[t] = min(each.get(t, 1.0), float(held(v, limit)))
    if not case.last:
        within = [v for t, v in each.items() if ORIGIN_UNIX + BEGAN < t <= ORIGIN_UNIX + ENDED_AT]
        each = {ORIGIN_UNIX + ENDED_AT: min(within)} if within else {}
    compared = {
        case.violations: replace(raw, series=tuple(s for s in filtered if s.points)),
        case.kept: replace(raw, series=(Series({}, tuple(each.items())),) if each else ()),
    }
    return replace(case, answers={**case.answers, **compared})


# ── the server ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Answering(http.server.BaseHTTPRequestHandler):
    """`/N/api/v1/…` is the Prometheus of case N."""

    cases: Sequence[Put] = ()
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, _, form = self.path.partition("?")
        self.answer(path, form)

    def do_POST(self) -> None:
        self.answer(self.path, self.rfile.read(int(self.headers["Content-Length"])).decode())

    def answer(self, path: str, form: str) -> None:
        _, number, _, _, endpoint, *_ = path.split("/")
        case = self.cases[int(number)]
        asked = dict(urllib.parse.parse_qsl(form))
        if endpoint == "status":
            yaml = f"global:\n  scrape_interval: {case.scrape_s:g}s\n"
            self.send(200, {"status": "success", "data": {"yaml": yaml}})
            return
        found = case.answers.get(asked["query"], Answer(asked["query"], ()))
        if found.error:
            self.send(503, {"status": "error", "errorType": "unavailable", "error": found.error})
            return
        instant = endpoint == "query"
        data = at_once(found, asked, case.scrape_s) if instant else over_time(found, asked)
        body = {"status": "success", "data": {"resultType": "vector" if instant else "matrix", "result": data}}
        self.send(200, {**body, "warnings": found.warnings} if found.warnings else body)

    def send(self, status: int, body: Mapping[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


def at_once(found: Answer, asked: Mapping[str, str], scrape_s: float) -> list[Mapping[str, Any]]:
    """The last value of each series, if it is no older than a scrape."""
    moment = unix(asked["time"])
    values = ((s, [p for p in s.points if moment - scrape_s < p[0] <= moment]) for s in found.series)
    return [{"metric": s.labels, "value": written(points[-1])} for s, points in values if points]


def over_time(found: Answer, asked: Mapping[str, str]) -> list[Mapping[str, Any]]:
    first, last = unix(asked["start"]), unix(asked["end"])
    values = ((s, [p for p in s.points if first <= p[0] <= last]) for s in found.series)
    return [{"metric": s.labels, "values": [written(p) for p in points]} for s, points in values if points]


def unix(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return datetime.datetime.fromisoformat(text).timestamp()


def written(point: tuple[float, float]) -> tuple[float, str]:
    at, value = point
    if math.isinf(value):
        return at, "+Inf" if value > 0 else "-Inf"
    return at, "NaN" if math.isnan(value) else repr(value)


@contextmanager
def serving(cases: Sequence[Put]) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Serving", (Answering,), {"cases": cases}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# ── chaoskit ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def by_chaoskit(case: Put, url: str) -> str:
    metrics = PrometheusMetrics(url)
    interval = metrics.scrape_interval()
    asked = asked_about(case.case)
    answers = {named: metrics.range(query, ORIGIN_UNIX, ORIGIN_UNIX + 26.0, interval) for named, query in asked.items()}
    seen = record(scrape_interval_s=interval, metrics={"errors": case.query}, answers=answers)
    (finding,) = judge.judge(experiment(case.case), seen, ENDED, 1).asked
    return SAID[finding.verdict]


# ── chaostoolkit ─────────────────────────────────────────────────────────────────────────────────────────────────────


def moment(at: float) -> str:
    return datetime.datetime.fromtimestamp(ORIGIN_UNIX + at, datetime.UTC).isoformat()


def asks(case: Put, query: str, *, once: bool) -> dict[str, Any]:
    """A provider: the value at the window's end, or those of the whole window."""
    if once or case.last:
        return provider("chaosprometheus.probes", "query", query=query, when=moment(ENDED_AT))
    window = {"start": moment(BEGAN), "end": moment(ENDED_AT), "step": max(1, round(case.scrape_s))}
    return provider("chaosprometheus.probes", "query_interval", query=query, **window)


def provider(module: str, function: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"type": "python", "module": module, "func": function, "arguments": arguments}


def by_range(case: Put) -> tuple[dict[str, Any], dict[str, Any]]:
    limit, most = case.condition.limit, 1e300
    span = [limit, most] if case.condition.op.startswith(">") else [-most, limit]
    return asks(case, case.query, once=True), {"type": "range", "range": span}


def by_count(case: Put) -> tuple[dict[str, Any], dict[str, Any]]:
    return asks(case, case.violations, once=False), {"type": "jsonpath", "path": "$.data.result[*]", "count": 0}


def by_function(case: Put) -> tuple[dict[str, Any], dict[str, Any]]:
    compared = provider("judge_cases", "keeps", op=case.condition.op, limit=case.condition.limit)
    return asks(case, case.query, once=False), {"type": "probe", "name": "keeps the limit", "provider": compared}


def by_bool(case: Put) -> tuple[dict[str, Any], dict[str, Any]]:
    path = "$.data.result[*].value[1]"
    return asks(case, case.kept, once=True), {"type": "jsonpath", "path": path, "expect": ["1.0"]}


WAYS = {"range": by_range, "count": by_count, "function": by_function, "bool": by_bool}


def experiment_of(case: Put, url: str, way: str) -> dict[str, Any]:
    """A whole experiment that does nothing but look at the steady state."""
    asking, tolerance = WAYS[way](case)
    probe = {"type": "probe", "name": case.case.name, "provider": asking, "tolerance": tolerance}
    return {
        "version": "1.0.0",
        "title": case.case.name,
        "description": "a case of the corpus",
        "configuration": {"prometheus_base_url": url},
        "steady-state-hypothesis": {"title": "it holds", "probes": [probe]},
        "method": [],
        "rollbacks": [],
    }


def environment() -> Path:
    """The Python of an environment with chaostoolkit in it, in the cache folder."""
    folder = cache_folder() / "bench" / f"chaostoolkit-{PACKAGES[0].partition('==')[2]}"
    python = folder / "bin" / "python"
    if not (folder / "done").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        (folder / "done").touch()
    return python


def by_chaostoolkit(cases: Sequence[Put], url: str) -> dict[str, list[str]]:
    """By way, the outcome of each case."""
    experiments = {f"{way} {n}": experiment_of(case, f"{url}/{n}", way) for way in WAYS for n, case in enumerate(cases)}
    python = environment()
    with tempfile.TemporaryDirectory() as scratch:
        asked, told = Path(scratch) / "cases.json", Path(scratch) / "outcomes.json"
        asked.write_text(json.dumps(experiments))
        subprocess.run([python, OTHER, asked, told], cwd=scratch, check=True, stdout=subprocess.DEVNULL)
        found = json.loads(told.read_text())
    return {way: [found[f"{way} {n}"] for n in range(len(cases))] for way in WAYS}


# ── the table ────────────────────────────────────────────────────────────────────────────────────────────────────────


def counted(cases: Sequence[Put], outcomes: Sequence[str]) -> list[int]:
    """right · false passes: of violations, of the undecidable · false fails: of what held, of the undecidable ·
    undecidable left undecided · decidable left undecided · tracebacks"""
    pairs = Counter((case.right, said.partition(":")[0]) for case, said in zip(cases, outcomes, strict=True))
    return [
        sum(n for (right, said), n in pairs.items() if right == said),
        pairs[FAILED, PASSED],
        pairs[UNDECIDED, PASSED],
        pairs[PASSED, FAILED],
        pairs[UNDECIDED, FAILED],
        pairs[UNDECIDED, UNDECIDED],
        pairs[PASSED, UNDECIDED] + pairs[FAILED, UNDECIDED],
        sum(n for (_, said), n in pairs.items() if said == TRACEBACK),
    ]


COLUMNS = (
    "right",
    "false pass: it was violated",
    "false pass: undecidable",
    "false fail: it held",
    "false fail: undecidable",
    "undecidable, left so",
    "decidable, left undecided",
    "tracebacks",
)
NAMES = {
    "chaoskit": "chaoskit, `metric`",
    "range": "chaostoolkit, `range` on the value",
    "count": "chaostoolkit, `jsonpath`: no violation is found",
    "function": "chaostoolkit, `probe`: a function of the user's",
    "bool": "chaostoolkit, `jsonpath`: `bool` comparison is 1",
}


SHOWN = ("chaoskit", "count", "function", "bool")
HEADS = ("chaoskit", "`count`", "function", "`bool`")


def report(cases: Sequence[Put], outcomes: Mapping[str, Sequence[str]], load: float) -> str:
    labels = Counter(case.right for case in cases)
    head = f"| | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}"
    rows = "\n".join(
        f"| {NAMES[name]} | {' | '.join(map(str, counted(cases, told)))} |" for name, told in outcomes.items()
    )
    wrong = "\n".join(_differing(cases, [outcomes[name] for name in SHOWN]))
    system = f"Python {platform.python_version()}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}"
    return f"""# Whose verdicts can be believed

`python bench/verdicts.py`: of the labelled corpus (`tests/unit/corpus.py`, {len(CASES)} cases) those {len(cases)} that
are about what Prometheus answers: {labels[PASSED]} hold, {labels[FAILED]} are violated, {labels[UNDECIDED]} cannot be
decided. A server on the loopback answers Prometheus' HTTP API with exactly their data. chaoskit asks it by its adapter
and judges by its judge. chaostoolkit asks it with one probe of `chaosprometheus.probes` in a steady-state hypothesis,
in an environment of its own ({", ".join(PACKAGES)}).
{system}, load average {load:.1f}; nothing here is timed.

{head}
{rows}

The tolerances are those that chaostoolkit's documentation offers, each written as well as it can be:

- `range` is for numbers, and the probes return Prometheus' JSON as it is: every answer ends in a traceback.
- `jsonpath` with `count: 0`: the query asks for violations (`errors >= 0.01`), and none may be found. No data, NaN and
  a series that ended are no violations, so they pass.
- `probe`, as in its demonstration with Prometheus: a function in Python looks at each value. Of none, none is bad.
- `jsonpath` with `expect`: the query compares (`min_over_time(min(errors < bool 0.01)[10s:1s])`), and the answer must
  be one 1. This is the best: no data is no 1. But chaostoolkit knows only met and not met. So what cannot be decided is
  not met (a false fail), and what is missing from a part of the window is not missed (a false pass).

“Left undecided” is, for chaostoolkit, a probe that failed because Prometheus answered with an error. It ends its
experiment as failed, too, but says that the tolerance could not be validated.

## Where they differ

Every case that one of them judges wrongly, without `range`.

| case | limit | right | {" | ".join(HEADS)} |
|---|---|---|{"---|" * len(HEADS)}
{wrong}
"""


def _differing(cases: Sequence[Put], outcomes: Sequence[Sequence[str]]) -> Iterator[str]:
    for case, *told in zip(cases, *outcomes, strict=True):
        said = [one.partition(":")[0] for one in told]
        if any(one != case.right for one in said):
            name = case.case.name.replace("|", "/")
            yield f"| {name} | `{case.condition.text}` | {case.right} | {' | '.join(said)} |"


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "").parse_args()
    cases = list(put())
    with serving(cases) as url:
        outcomes: dict[str, Sequence[str]] = {
            "chaoskit": [by_chaoskit(case, f"{url}/{n}") for n, case in enumerate(cases)]
        }
        outcomes.update(by_chaostoolkit(cases, url))
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(report(cases, outcomes, os.getloadavg()[0]), encoding="utf-8")
    print(TABLE.read_text(encoding="utf-8"))
    sys.exit(outcomes["chaoskit"] != [case.right for case in cases])


if __name__ == "__main__":
    main()
