"""Labelled runs: what was recorded, what was expected, and the one right verdict.

A case passes only with all the evidence that its expectation needs, fails only if the violation is beyond doubt, and is
inconclusive otherwise. `verdict` is the run's; `finding` the expectation's own, where it is another.
To add a case, add a line to the family that it belongs to.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from streams import (
    ORIGIN_UNIX,
    PHASES,
    STEP,
    act,
    answer,
    endpoints,
    gap,
    gone,
    kill,
    life,
    look,
    paced,
    pod,
    points,
    sample,
    seen,
    step,
)

from chaoskit.model import Answer, Series, Verdict
from chaoskit.objects import uid
from chaoskit.samples import Outcome, Stream

PASS, FAIL, OPEN = Verdict.PASSED, Verdict.FAILED, Verdict.INCONCLUSIVE
NAN, INF = math.nan, math.inf


@dataclass(frozen=True)
class Case:
    name: str
    verdict: Verdict
    expect: dict[str, Any]
    """One expectation, as in the experiment file."""
    record: dict[str, Any] = field(default_factory=dict)
    """What was recorded otherwise than in a run in which all went well."""
    says: str = ""
    """What the reason must tell."""
    how: str = "complete"
    finding: Verdict | None = None
    load: dict[str, Any] | str = field(default_factory=lambda: {"users": 4, "must_reach": "10/s"})
    steady: bool = True


# ── metric: PromQL ───────────────────────────────────────────────────────────────────────────────────────────────────

DURING = {"metric": {"holds": "errors < 1%", "of": STEP}}
OVERALL = {"metric": "errors < 1%"}
AT_END = {"metric": {"holds": "errors < 1%", "of": STEP, "when": "at the end"}}


def holds(text: str, when: str = "always") -> dict[str, Any]:
    return {"metric": {"holds": text, "of": STEP, "when": when}}


def asked(name, verdict, expect, *series, says="", **more) -> Case:
    return Case(f"metric: {name}", verdict, expect, {"answers": {"errors": answer(*series, **more)}}, says)


def at(moment: float, bad: float, good: float = 0.0, width: float = 1.0):
    """Good, but for one scrape."""
    return lambda t: bad if moment <= t < moment + width else good


def promql() -> Iterator[Case]:
    good, bad = points(0.0), points(0.5)
    for name, expect in (("during", DURING), ("overall", OVERALL), ("at the end", AT_END)):
        yield asked(f"good, {name}", PASS, expect, good)
        yield asked(
            f"bad, {name}", FAIL, expect, bad, says="the last sample" if name == "at the end" else "the worst of"
        )
        yield asked(f"no series, {name}", OPEN, expect, says="no data")
        yield asked(f"series without points, {name}", OPEN, expect, (), says="no data")
        yield asked(f"only before the window, {name}", OPEN, expect, points(0.0, end=9.0), says="no data")
        yield asked(f"only after the window, {name}", OPEN, expect, points(0.0, start=21.0), says="no data")
        yield asked(f"clock skewed by 100 s, {name}", OPEN, expect, points(0.0, start=100, end=125), says="no data")
        yield asked(f"NaN, {name}", OPEN, expect, points(NAN), says="NaN")
        yield asked(f"+Inf, {name}", OPEN, expect, points(INF), says="infinite")
        yield asked(f"-Inf, {name}", OPEN, expect, points(-INF), says="infinite")
        yield asked(f"warnings, good, {name}", OPEN, expect, good, warnings=["PromQL info"], says="partial")
        yield asked(f"warnings, bad, {name}", OPEN, expect, bad, warnings=["a store is away"], says="partial")
        yield asked(f"error, {name}", OPEN, expect, error="connection refused", says="connection refused")
        yield Case(f"metric: never asked, {name}", OPEN, expect, {"answers": {}}, "never run")
        yield asked(f"stale since before the end, {name}", OPEN, expect, points(0.0, end=15.0))
        yield asked(f"two good series, {name}", PASS, expect, good, good)
        yield asked(f"one of two series bad, {name}", FAIL, expect, good, bad)
        yield asked(f"one of two series NaN, {name}", OPEN, expect, good, points(NAN), says="NaN")
        yield asked(f"late by 0.4 s each, {name}", PASS, expect, points(0.0, start=0.4))
    for text, value, verdict in (
        ("errors <= 1%", 0.01, PASS),
        ("errors < 1%", 0.01, FAIL),
        ("errors >= 1%", 0.01, PASS),
        ("errors > 1%", 0.01, FAIL),
        ("errors == 3", 3, PASS),
        ("errors == 3", 2, FAIL),
        ("errors == 3", NAN, OPEN),
        ("errors >= 3", INF, OPEN),
        ("errors > 0", INF, OPEN),
        ("errors <= 3", -INF, OPEN),
        ("errors >= 0", NAN, OPEN),
    ):
        yield asked(f"{text} of {value}", verdict, holds(text), points(value))
    yield asked("one bad scrape in the middle", FAIL, DURING, points(at(15, 0.5)))
    yield asked("one bad scrape in the middle, at the end", PASS, AT_END, points(at(15, 0.5)))
    yield asked("bad at the very end", FAIL, AT_END, points(at(20, 0.5)))
    yield asked("bad before the step only", PASS, DURING, points(at(8, 0.5)))
    yield asked("bad after the step only", PASS, DURING, points(at(21, 0.5)))
    yield asked("NaN once", OPEN, DURING, points(at(15, NAN)), says="NaN")
    yield asked("NaN once, good at the end", PASS, AT_END, points(at(15, NAN)))
    yield asked("NaN once and bad once", FAIL, DURING, points(lambda t: NAN if t == 13 else 0.5 if t == 15 else 0.0))
    yield asked("infinite once", OPEN, DURING, points(at(15, INF)), says="infinite")
    yield asked("NaN before the step", PASS, DURING, points(at(5, NAN)))
    yield asked("a gap of four scrapes", OPEN, DURING, points(0.0, leave_out=[(13, 16)]), says="gap of 4.0 s")
    yield asked("a gap and bad", FAIL, DURING, points(0.5, leave_out=[(13, 16)]))
    yield asked("a gap in the middle, good at the end", PASS, AT_END, points(0.0, leave_out=[(13, 16)]))
    yield asked("one scrape lost", PASS, DURING, points(0.0, leave_out=[(13, 14)]))
    yield asked("a gap at the beginning", OPEN, DURING, points(0.0, start=14), says="gap")
    yield asked("a gap at the end", OPEN, DURING, points(0.0, end=16), says="gap")
    yield asked("clock skewed by 3 s", OPEN, DURING, points(0.0, start=3, end=17), says="gap")
    yield asked("a series ends with its pod", PASS, DURING, points(0.0, end=11), points(0.0, start=9))
    yield asked("a gap between two pods' series", OPEN, DURING, points(0.0, end=11), points(0.0, start=15), says="gap")
    yield asked("a bad series that ended with its pod, at the end", PASS, AT_END, points(0.5, end=11), points(0.0))
    yield asked("a bad series that ended with its pod", FAIL, DURING, points(0.5, end=11), points(0.0))
    yield asked("a single scrape in the window", OPEN, DURING, points(0.0, start=15, end=15), says="single scrape")
    yield asked("a single bad scrape in the window", FAIL, DURING, points(0.5, start=15, end=15))
    slow = {"scrape_interval_s": 5.0, "answers": {"errors": answer(points(0.0, every=5.0))}}
    yield Case("metric: scrapes every 5 s", PASS, DURING, slow)
    slower = {"scrape_interval_s": 15.0, "answers": {"errors": answer(points(0.0, every=15.0))}}
    yield Case("metric: one scrape in 15 s", OPEN, DURING, slower, "single scrape")


# ── metric: values that are shown on ─────────────────────────────────────────────────────────────────────────────────


def shown_on(name, verdict, expect, scraped, value=0.0, says="") -> Case:
    """Of a series that is scraped at these moments of the run; in between the last value is shown."""
    asked_at = [t for t, _ in points(0.0) if t - ORIGIN_UNIX >= scraped[0]]
    newest = [max(ORIGIN_UNIX + at for at in scraped if ORIGIN_UNIX + at <= t) for t in asked_at]
    values = [value(t - ORIGIN_UNIX) if callable(value) else value for t in newest]
    answers = {
        "errors": answer(tuple(zip(asked_at, values, strict=True))),
        "scrapes: q": answer(tuple(zip(asked_at, newest, strict=True))),
    }
    return Case(f"shown on: {name}", verdict, expect, {"answers": answers}, says)


def every(seconds: float, *, but=(0.0, 0.0), offset=0.0) -> list[float]:
    moments = [offset + n * seconds for n in range(round(25 / seconds))]
    return [at for at in moments if not but[0] <= at < but[1]]


def shown_ons() -> Iterator[Case]:
    yield shown_on("scraped each second", PASS, DURING, every(1, offset=0.3))
    yield shown_on("scraped each second, bad", FAIL, DURING, every(1, offset=0.3), 0.5)
    yield shown_on("scraped every five seconds", PASS, DURING, every(5, offset=0.3))
    yield shown_on("scraped once in the window", OPEN, DURING, every(12, offset=0.3), says="single scrape")
    yield shown_on("scraped before it only", OPEN, DURING, [0.3, 5.3], says="nothing was scraped in the window")
    yield shown_on("scraped before it only, at the end", OPEN, AT_END, [0.3, 5.3], says="nothing was scraped")
    yield shown_on("scraped before it only, bad", OPEN, DURING, [0.3, 5.3], 0.5, "nothing was scraped")
    yield shown_on("stood still in the window", OPEN, DURING, every(1, but=(12, 18)), says="gap")
    yield shown_on("stood still to the end of it", OPEN, DURING, every(1, but=(14, 22)), says="gap")
    yield shown_on("stood still to the end of it, at the end", OPEN, AT_END, every(1, but=(14, 22)))
    yield shown_on("stood still, good at the end", PASS, AT_END, every(1, but=(12, 18)))
    yield shown_on("stood still, and bad before that", FAIL, DURING, every(1, but=(12, 18)), at(11, 0.5))
    yield shown_on("bad just before the step", PASS, DURING, every(1, offset=0.5), at(9.5, 0.5))
    lost = {"errors": answer(points(0.0)), "scrapes: q": answer(error="timeout")}
    yield Case("shown on: nobody knows when it was scraped", OPEN, DURING, {"answers": lost}, "timeout")


# ── metric: quantiles of histograms ──────────────────────────────────────────────────────────────────────────────────

P99 = "histogram_quantile(0.99, sum by (le) (rate(shop_seconds_bucket[5s])))"
BOUNDARIES = ("0.1", "0.25", "0.5", "1", "+Inf")


def boundaries(*les: str, **more) -> Answer:
    return Answer("q", tuple(Series({"le": le}, points(3.0)) for le in les), **more)


def quantile(name, verdict, limit, value, says="", buckets=None) -> Case:
    """What Prometheus shows of the quantile, and what it says of the buckets; BOUNDARIES where nothing is said."""
    told = boundaries(*BOUNDARIES) if buckets is None else buckets
    answers = {"errors": answer(points(value)), "buckets: shop_seconds_bucket": told}
    record = {"metrics": {"errors": P99}, "answers": answers}
    return Case(f"quantile: {name}", verdict, holds(f"errors {limit}"), record, says)


def quantiles() -> Iterator[Case]:
    for limit, value, verdict in (
        ("< 300ms", 0.2, PASS),
        ("< 300ms", 0.25, PASS),
        ("< 300ms", 0.27, OPEN),
        ("< 300ms", 0.45, OPEN),
        ("< 300ms", 0.6, FAIL),
        ("<= 250ms", 0.25, PASS),
        ("< 250ms", 0.24, PASS),
        ("< 250ms", 0.25, OPEN),
        ("< 250ms", 0.26, FAIL),
        ("> 300ms", 0.27, OPEN),
        ("> 300ms", 0.45, OPEN),
        ("> 300ms", 0.51, PASS),
        (">= 250ms", 0.25, OPEN),
        ("< 2s", 0.9, PASS),
        ("< 2s", 1.0, OPEN),
        ("<= 1s", 1.0, OPEN),
        ("< 500ms", 1.0, FAIL),
        ("< 300ms", NAN, OPEN),
    ):
        yield quantile(f"{value} of {limit}", verdict, limit, value)
    yield quantile("in the limit's bucket once", OPEN, "< 300ms", at(15, 0.4, 0.2), "both between")
    yield quantile(
        "in the limit's bucket once, beyond it once", FAIL, "< 300ms", lambda t: {13: 0.4, 15: 0.6}.get(t, 0.2)
    )
    yield quantile(
        "no answer about the buckets",
        OPEN,
        "< 300ms",
        0.01,
        "connection refused",
        boundaries(error="connection refused"),
    )
    yield quantile("no buckets", OPEN, "< 300ms", 0.01, "no data", boundaries())
    yield quantile("some buckets", OPEN, "< 300ms", 0.01, "away", boundaries("0.1", warnings=("a store is away",)))
    yield quantile("no bucket but the last", OPEN, "< 300ms", 0.01, buckets=boundaries("+Inf"))
    mixed = Answer("q", tuple(Series({"le": le}, points(n)) for le, n in zip(BOUNDARIES, (3, 3, 1, 3, 3), strict=True)))
    yield quantile("one of three pods has other buckets", OPEN, "< 600ms", 0.45, "0.25 s and 1 s", mixed)
    native = Answer("q", (Series({}, points(3.0)),))
    yield quantile("native histograms", PASS, "< 300ms", 0.29, buckets=native)


# ── metric: measures of the load ─────────────────────────────────────────────────────────────────────────────────────


def users(outcome=Outcome.OK, took=0.004, *, until=25.0, bad=(10.0, 20.0)):
    """Locust's requests; during the step they end like this."""
    return tuple(
        sample(i * 0.05, outcome, took=took, stream=Stream.LOCUST)
        if bad[0] <= i * 0.05 < bad[1]
        else sample(i * 0.05, stream=Stream.LOCUST)
        for i in range(round(until / 0.05))
    )


SLOW = sample(11.95, took=0.5, stream=Stream.LOCUST)
WAITS = tuple(sample(12.0 + i / 10, Outcome.TIMEOUT, took=8.0, stream=Stream.LOCUST) for i in range(4))
"""All four users wait for an answer, until the step is over."""


def measures() -> Iterator[Case]:
    for name, text, requests, verdict in (
        ("good answers", "failures < 1%", users(), PASS),
        ("errors", "failures < 1%", users(Outcome.HTTP_ERROR), FAIL),
        ("a second of time-outs", "failures < 1%", users(Outcome.TIMEOUT, bad=(12, 13)), FAIL),
        ("time-outs after the step", "failures < 1%", users(Outcome.TIMEOUT, bad=(21, 22)), PASS),
        ("time-outs before the step", "failures < 1%", users(Outcome.TIMEOUT, bad=(8, 10)), PASS),
        ("fast answers", "p99 < 300ms", users(), PASS),
        ("slow answers", "p99 < 300ms", users(took=0.5), FAIL),
        ("some slow answers", "p50 < 300ms", users(took=0.5, bad=(10, 12)), PASS),
        ("one slow answer", "slowest < 300ms", users(took=0.5, bad=(12, 12.1)), FAIL),
        ("enough answers", "rate > 10/s", users(), PASS),
        ("refusals", "rate > 10/s", users(Outcome.REFUSED), FAIL),
        ("nobody", "rate > 10/s", users(until=10.0), OPEN),
        ("nobody after two seconds", "rate > 10/s", users(until=12.0), OPEN),
        ("nobody after two seconds", "failures < 1%", users(until=12.0), OPEN),
        ("nobody after two seconds", "p99 < 300ms", users(until=12.0), OPEN),
        ("nobody after two seconds", "slowest < 300ms", users(until=12.0), OPEN),
        ("nobody after two seconds", "rate < 100/s", users(until=12.0), OPEN),
        ("one slow answer, and nobody later", "slowest < 300ms", (*users(until=12.0), SLOW), FAIL),
        ("enough answers, and nobody later", "rate > 3/s", users(until=12.0), PASS),
        ("too many answers, and nobody later", "rate < 3/s", users(until=12.0), FAIL),
        ("a wait of eight seconds for one answer", "failures < 1%", (*users(until=12.0), *WAITS), FAIL),
        ("no one", "failures < 1%", users(until=10.0), OPEN),
        ("none", "p99 < 300ms", users(until=10.0), OPEN),
        ("another stream", "pulse_failures < 10%", users(Outcome.REFUSED), PASS),
    ):
        yield Case(f"measure: {text} of {name}", verdict, holds(text), {"locust": requests})
    for name, text, pulse, verdict in (
        ("half a second down", "pulse_failures < 10%", paced(25.0, down=[(12, 12.5)]), PASS),
        ("two seconds down", "pulse_failures < 10%", paced(25.0, down=[(12, 14)]), FAIL),
        ("two seconds unsent", "pulse_failures < 10%", paced(25.0, unsent=[(12, 14)]), OPEN),
        ("some down, some unsent", "pulse_failures < 9%", paced(25.0, down=[(12, 12.8)], unsent=[(14, 14.3)]), OPEN),
        ("some down, some unsent", "pulse_failures < 20%", paced(25.0, down=[(12, 12.8)], unsent=[(14, 14.3)]), PASS),
        ("a pulse that ended", "pulse_failures < 10%", paced(10.0), OPEN),
        ("a pulse that ended half-way", "pulse_failures < 10%", paced(15.0), OPEN),
        ("a second stream that ended", "pulse_failures < 10%", (*paced(25.0), *paced(15.0, stream=Stream.KEPT)), OPEN),
    ):
        yield Case(f"measure: {text} of {name}", verdict, holds(text), {"pulse": pulse})


# ── outage ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def outage(at_most="1s", **more) -> dict[str, Any]:
    return {"outage": {"of": STEP, "at_most": at_most, **more}}


def pulse(name, verdict, expect, says="", finding=None, **story) -> Case:
    return Case(f"outage: {name}", verdict, expect, {"pulse": paced(25.0, **story)}, says, finding=finding)


def kept(**story):
    return (*paced(25.0), *paced(25.0, stream=Stream.KEPT, **story))


def outages() -> Iterator[Case]:
    yield pulse("none", PASS, outage(), "all of 1,000 requests were answered")
    yield pulse("none, the smallest limit", PASS, outage("20ms", lost=0))
    for length, limit, verdict in (
        (0.05, "1s", PASS),
        (0.9, "1s", PASS),
        (2.0, "1s", FAIL),
        (1.1, "1s", FAIL),
        (0.5, "200ms", FAIL),
        (1.0, "1s", OPEN),
        (0.995, "1s", OPEN),
        (5.0, "4s", FAIL),
        (9.0, "9s", OPEN),
    ):
        yield pulse(f"{length} s of {limit}", verdict, outage(limit), down=[(12.0, 12.0 + length)])
    yield pulse("several short ones", PASS, outage(), down=[(11, 11.5), (13, 13.5), (15, 15.5)])
    yield pulse("several, one too long", FAIL, outage(), down=[(11, 11.5), (13, 15.5)])
    yield pulse("before the step only", PASS, outage(), down=[(5, 9)])
    yield pulse("after the step only", PASS, outage(), down=[(20.5, 23)])
    yield pulse("begins before the step and is too long in it", FAIL, outage(), down=[(9, 12)])
    yield pulse("cut by the window, short", PASS, outage(), down=[(19.8, 20.2)])
    yield pulse("cut by the window, too long", FAIL, outage(), down=[(19.8, 23)])
    yield pulse("without end", FAIL, outage(), down=[(15, 99)])
    yield pulse("without end, within the limit so far", OPEN, outage("12s"), "still down", down=[(15, 99)])
    yield pulse("lost within the limit", PASS, outage(lost=60), down=[(12, 12.5)])
    yield pulse("lost beyond the limit", FAIL, outage(lost=40), "of 1,000 requests lost", down=[(12, 12.5)])
    yield pulse("blind for longer than the limit", OPEN, outage(), unsent=[(12, 14)])
    yield pulse("blind beside an outage", OPEN, outage(), down=[(12, 12.6)], unsent=[(12.6, 13.4)])
    yield pulse("one unsent", PASS, outage(), unsent=[(12, 12.01)])
    yield pulse("one unsent, none may be lost", OPEN, outage(lost=0), "may have been lost", unsent=[(12, 12.01)])
    yield pulse("too long, though partly blind", FAIL, outage(), down=[(12, 15)], unsent=[(13, 13.3)])
    yield pulse("too long, unless it was two", OPEN, outage(), "blind for", down=[(12, 14)], unsent=[(12.8, 13.2)])
    yield pulse("sent late now and then", PASS, outage(), late={1200: 0.2, 1300: 0.1}, down=[(12, 12.5)])
    yield pulse("late throughout", OPEN, outage(), "late", late=dict.fromkeys(range(2500), 0.05))
    yield Case("outage: the pulse recorded nothing", OPEN, outage(), {"pulse": ()}, "sent nothing")
    yield Case("outage: the pulse ended before the step did", OPEN, outage(), {"pulse": paced(14.0)})
    yield Case("outage: the pulse was never there in the step", OPEN, outage(), {"pulse": paced(9.0)}, "sent nothing")
    yield Case("outage: fresh connections only", PASS, outage(), {"pulse": kept(down=[(12, 15)])})
    yield Case("outage: kept connections", FAIL, outage(connections="kept"), {"pulse": kept(down=[(12, 15)])})
    yield Case("outage: no kept connection was tried", OPEN, outage(connections="kept"), {"pulse": paced(25.0)})
    yield Case("outage: another period", PASS, outage(), {"pulse": paced(25.0, period=0.1), "pulse_period_s": 0.1})
    rare = {"pulse": paced(25.0, period=0.5, down=[(12, 13.2)]), "pulse_period_s": 0.5}
    yield Case("outage: a period too long to tell", OPEN, outage(), rare, "within the uncertainty")


# ── recovery ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def recovery(within="5s") -> dict[str, Any]:
    return {"recovery": {"of": STEP, "within": within}}


def watched(*more, without=()):
    """What the watch tells of a pod's loss and replacement, and more, and without what concerns some pods."""
    kept_ = [e for e in kill() if e.kind != "pod" or uid(e.object) not in without]
    return tuple(sorted((*kept_, *more), key=lambda e: e.at))


def hit(*acts, **more) -> dict[str, Any]:
    return {"steps": (step(acts or None, **more),)}


def recoveries() -> Iterator[Case]:
    for within, verdict in (("5s", PASS), ("1100ms", OPEN), ("1200ms", PASS), ("1s", FAIL), ("1050ms", OPEN)):
        yield Case(f"recovery: 1.08 s of {within}", verdict, recovery(within))
    never = {"events": watched(without=["front-4"])}
    yield Case("recovery: never", FAIL, recovery(), never, "replacement created was not seen")
    yield Case("recovery: never, but watched too shortly", OPEN, recovery("12s"), never, "watch longer")
    for at_, verdict in ((5.0, PASS), (9.9, OPEN), (10.5, OPEN), (12.0, PASS)):
        broken = {"events": watched(gap(at_), seen(at_ + 0.4, pod("front-2"), first=True))}
        yield Case(f"recovery: the watch broke at {at_}", verdict, recovery(), broken)
    yield Case("recovery: another watch broke", PASS, recovery(), {"events": watched(gap(10.5, "service"))})
    yield Case("recovery: the slices' watch broke", OPEN, recovery(), {"events": watched(gap(10.5, "endpointslice"))})
    lost = {"events": watched(gap(10.5), without=["front-4"])}
    yield Case("recovery: the watch broke and nothing was seen", OPEN, recovery(), lost, "the watch was broken")
    listed = (seen(12.0, pod("front-4"), first=True),)
    relisted = {"events": watched(gap(10.015), *listed, without=["front-4"])}
    yield Case("recovery: seen only when listed again", OPEN, recovery(), relisted, "the watch was broken")
    stuck = {"events": watched(*life("front-4", 10.03)[:2], without=["front-4"])}
    yield Case("recovery: the replacement never starts", FAIL, recovery(), stuck, "replacement started")
    unready = {"events": watched(*life("front-4", 10.03)[:3], without=["front-4"])}
    yield Case("recovery: the replacement never gets ready", FAIL, recovery(), unready, "replacement ready")
    unserved = {"events": tuple(e for e in kill() if e.kind == "pod" or e.at < 11)}
    yield Case("recovery: ready, but no endpoint", FAIL, recovery(), unserved, "replacement in endpoints")
    alone = {"events": tuple(e for e in kill() if e.kind == "pod")}
    yield Case("recovery: no Service", PASS, recovery(), alone)
    other = {"events": watched(*life("back-9", 10.03, owner="rs-2"), without=["front-4"])}
    yield Case("recovery: only a pod of another workload came", FAIL, recovery(), other)
    stayed = {"events": tuple(e for e in kill() if e.change != "gone" and uid(e.object) != "front-4")}
    yield Case("recovery: no pod went away", OPEN, recovery(), stayed, "nothing had to recover")
    two = [gone(10.02, pod("front-2", terminating=True))]
    pair = [act(10.0), act(10.005, "front-2")]
    yield Case("recovery: one of two was replaced", FAIL, recovery(), {"events": watched(*two)} | hit(*pair))
    both = {"events": watched(*two, *life("front-5", 10.1), endpoints(11.2, "front-3", "front-4", "front-5"))}
    yield Case("recovery: both were replaced", PASS, recovery(), both | hit(*pair))
    twice = hit(act(10.0, error="no answer came"), act(10.2))
    yield Case("recovery: hit twice after a lost answer", PASS, recovery(), twice)
    yield from not_landed("recovery", recovery())


def not_landed(kind: str, expect: dict[str, Any]) -> Iterator[Case]:
    """Whatever is expected of a step: nothing follows from one that did not happen as it should."""
    for name, record, says in (
        ("the fault did not land", hit(act(landed=None)), "did not land"),
        ("the target was gone", hit(act(landed=None, error="there is no pod")), "there is no pod"),
        ("one of two faults did not land", hit(act(), act(10.1, "front-2", landed=None)), "did not land"),
        ("nothing to act on", {"steps": (step([]),)}, "nothing to act on"),
        ("refused by a limit", {"steps": (step([], refused="keep_ready"),)}, "refused: keep_ready"),
        ("the step was never reached", {"steps": ()}, "never reached"),
        ("cut short", hit(act(), ended=None), "before “lose a pod” had been watched"),
    ):
        yield Case(f"{kind}: {name}", OPEN, expect, record, says)


# ── restart ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def restart(within="5s", **more) -> dict[str, Any]:
    return {"restart": {"of": STEP, "within": within, **more}}


def restarted(*events, ended=20.0, **more) -> dict[str, Any]:
    first = seen(0.0, pod("front-1"), first=True)
    killed_ = act(10.0, "front-1", id="containerd://c1", restarts=0, container="front", **more)
    return {"events": (first, *events), "steps": (step([killed_], ended=ended),)}


def again(at_=11.0, *, count=1, ready=True, **more):
    return seen(at_, pod("front-1", restarts=count, ready=ready, container="c2", **more))


def restarts() -> Iterator[Case]:
    down = seen(10.3, pod("front-1", started=False, ready=False))
    yield Case("restart: in time", PASS, restart(), restarted(down, again()))
    yield Case("restart: too late", FAIL, restart("500ms"), restarted(down, again()))
    yield Case("restart: the limit within the uncertainty", OPEN, restart("1s"), restarted(down, again()))
    yield Case("restart: never", FAIL, restart(), restarted(down), "not restarted")
    never = restarted(down, ended=12.0)
    yield Case("restart: never, but watched too shortly", OPEN, restart(), never, "watch longer")
    yield Case("restart: never ready", FAIL, restart(), restarted(down, again(ready=False)), "not ready again")
    yield Case("restart: twice", FAIL, restart(), restarted(down, again(count=2)), "at most 1 expected")
    yield Case("restart: twice, and twice allowed", PASS, restart(times=2), restarted(down, again(count=2)))
    replaced = restarted(gone(10.5, pod("front-1")))
    yield Case("restart: the pod was replaced", FAIL, restart(), replaced, "the whole pod was replaced")
    yield Case(
        "restart: policy Never",
        FAIL,
        restart(),
        restarted(seen(10.3, pod("front-1", started=False, policy="Never"))),
        "Never",
    )
    yield Case("restart: the watch broke", OPEN, restart(), restarted(gap(10.2), again()), "watch was broken")
    yield Case("restart: the watch broke, never seen", OPEN, restart(), restarted(gap(10.2)), "watch was broken")
    yield Case(
        "restart: the watch broke before",
        PASS,
        restart(),
        restarted(gap(5.0), seen(6.0, pod("front-1"), first=True), down, again()),
    )
    yield Case("restart: no container was killed", OPEN, restart(), {}, "killed no container")
    yield from not_landed("restart", restart())


# ── steady state ─────────────────────────────────────────────────────────────────────────────────────────────────────

SHORT = {k: v for k, v in PHASES.items() if k != "steady again"}
CUT = {k: v for k, v in SHORT.items() if k != "metrics"}
BEFORE = look(9.0, True, phase="steady")


def steady_states() -> Iterator[Case]:
    def case(name, verdict, *looks, phases=PHASES, says="", how="complete"):
        record = {"conditions": (BEFORE, *looks), "phases": phases}
        return Case(f"steady state: {name}", verdict, {"steady_state": {}}, record, says, how)

    yield case("again", PASS, look(21, True), look(22, True))
    yield case("again after a while", PASS, look(21, False, value=0.5), look(22, True), look(23, True))
    yield case("not again", FAIL, look(21, False, value=0.5), phases=SHORT, says="errors < 1% (50 %)")
    yield case("not for long enough", FAIL, look(21, False), look(22, True), phases=SHORT, says="as long as was asked")
    yield case("no data at the end", OPEN, look(21, None, reason="no data"), phases=SHORT, says="no data")
    yield case("no data, then too short", OPEN, look(21, None), look(22, True), phases=SHORT, says="no data")
    yield case("not looked at", OPEN, phases=SHORT, says="not looked at")
    two = (look(21, True), look(21, False, condition="p99 < 1s", value=2.0))
    yield case("one of two not again", FAIL, *two, phases=SHORT, says="p99 < 1s (2 s)")
    unsure = (look(21, False, value=0.5), look(21, None, condition="p99 < 1s"))
    yield case("one broken, one unknown", FAIL, *unsure, phases=SHORT)
    yield case("cut short while broken", OPEN, look(21, False), phases=CUT, how="interrupted")
    yield case("cut short while it held", OPEN, look(21, True), phases=CUT, how="interrupted")


# ── the run as a whole ───────────────────────────────────────────────────────────────────────────────────────────────


def busy(who: str, cpu: float):
    return tuple({"at": float(t), "who": who, "cpu": cpu, "users": 4} for t in range(3, 26))


def wholes() -> Iterator[Case]:
    fine, bad = outage(), outage("200ms")
    long = {"pulse": paced(25.0, down=[(12, 14)])}
    for how in ("interrupted", "stopped", "broken"):
        yield Case(f"run: {how} after all held", OPEN, fine, how=how, finding=PASS)
        yield Case(f"run: {how} after one failed", FAIL, bad, long, how=how)
    yield Case("run: killed", OPEN, fine, how="", finding=PASS)
    saturated = {"statuses": busy("locust", 0.97)}
    yield Case("run: Locust saturated, all held", OPEN, fine, saturated, "97 % of a core")
    yield Case("run: Locust saturated, one failed", OPEN, fine, saturated | long, "97 % of a core")
    yield Case(
        "run: Locust saturated, Prometheus says bad",
        FAIL,
        DURING,
        saturated | {"answers": {"errors": answer(points(0.5))}},
    )
    yield Case("run: Locust saturated, Prometheus says good", OPEN, DURING, saturated, finding=PASS)
    yield Case("run: the pulse saturated", PASS, fine, {"statuses": (*busy("pulse", 0.97), *busy("locust", 0.2))})
    yield Case("run: not a status", OPEN, fine, {"statuses": ()}, "never said how busy")
    yield Case("run: not a status, and no Locust", PASS, fine, {"statuses": ()}, load={"locustfile": "none"})
    yield from late_pulses(fine)
    slow = {"locust": paced(25.0, period=0.2, stream=Stream.LOCUST)}
    yield Case("run: load below what was asked", OPEN, fine, slow, finding=PASS)
    yield Case("run: load below what was asked, and failed", FAIL, bad, slow | long)
    ramp = tuple(s for s in paced(25.0, period=0.05, stream=Stream.LOCUST) if s.intended > 5)
    yield Case("run: the load came up before the steady state held", PASS, fine, {"locust": ramp})
    failing = {"locust": users(Outcome.HTTP_ERROR, bad=(0, 10))}
    yield Case("run: load answered badly in the steady state", OPEN, fine, failing, finding=PASS)
    yield Case("run: no load at all", OPEN, fine, {"locust": ()}, finding=PASS)
    yield Case("run: no load at all, no rate asked", OPEN, fine, {"locust": ()}, load={"users": 4}, finding=PASS)
    yield Case("run: no Locust asked for", PASS, fine, {"locust": ()}, load={"locustfile": "none"})
    yield Case("run: no steady state asked for", PASS, fine, steady=False)
    unsteady = {"phases": {"deploy": (0.0, 2.0), "steady": (3.0, 30.0), "heal": (30.0, 31.0)}, "steps": ()}
    yield Case("run: never steady", OPEN, fine, unsteady, "never reached", how="broken")
    yield Case("run: never steady, unlike the steady state's own word", OPEN, DURING, unsteady, how="broken")
    yield from not_landed("outage", fine)
    yield from not_landed("metric", DURING)


def late_pulses(fine) -> Iterator[Case]:
    """A pulse that is late now and then is the business of each finding; one that is late all the time judges none."""
    yield Case("run: the pulse late often", OPEN, fine, {"pulse": held_up(10)}, "late by more than")
    yield Case("run: the pulse late often, and an outage", OPEN, fine, {"pulse": held_up(10, **DOWN)}, "late by more")
    yield Case("run: the pulse late now and then", PASS, fine, {"pulse": held_up(40)})
    yield Case("run: the pulse late now and then, and an outage", FAIL, fine, {"pulse": held_up(40, **DOWN)})
    unsent = [(11 + i, 11.01 + i) for i in range(8)]
    gaps = {"pulse": paced(25.0, unsent=unsent)}
    yield Case("run: the pulse not sent now and then", PASS, fine, gaps)
    yield Case("run: the pulse not sent now and then, and none may be lost", OPEN, outage(lost=0), gaps, "not sent")
    both = {"pulse": paced(25.0, unsent=unsent, **DOWN)}
    yield Case("run: the pulse not sent now and then, and an outage", FAIL, outage("500ms"), both)
    stall = {"pulse": paced(25.0, unsent=[(12.0, 12.4)])}
    yield Case("run: the pulse stood still for less than the limit", PASS, fine, stall)
    yield Case("run: the pulse stood still for longer than the limit", OPEN, outage("300ms"), stall, "blind for")
    often = {"pulse": paced(25.0, unsent=[(11 + i / 4, 11.02 + i / 4) for i in range(36)])}
    yield Case("run: the pulse often not sent", OPEN, fine, often, "not sent")
    slow = {"locust": users(took=0.5), "pulse": held_up(40)}
    yield Case("run: long latencies beside a late pulse", OPEN, holds("p99 < 300ms"), slow, "the load's own")
    fast = {"locust": users(), "pulse": held_up(40)}
    yield Case("run: short latencies beside a late pulse", PASS, holds("p99 < 300ms"), fast)
    failed = {"locust": users(Outcome.HTTP_ERROR), "pulse": held_up(40)}
    yield Case("run: errors beside a late pulse", FAIL, holds("failures < 1%"), failed)


DOWN = {"down": [(12, 14)]}


def held_up(every: int, **more):
    """A pulse of which each request of so many was sent 30 ms late."""
    return paced(25.0, late=dict.fromkeys(range(0, 2500, every), 0.03), **more)


CASES: tuple[Case, ...] = (
    *promql(),
    *shown_ons(),
    *quantiles(),
    *measures(),
    *outages(),
    *recoveries(),
    *restarts(),
    *steady_states(),
    *wholes(),
)
