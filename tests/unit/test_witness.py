"""The second witness: the app's own counters beside what the load recorded, whatever becomes of the pods that count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import ORIGIN_UNIX, PULSE, STEP, answer, paced, record, sample

from chaoskit import spec, witness
from chaoskit.checks.metric import Metric
from chaoskit.checks.outage import Outage
from chaoskit.errors import ExperimentError
from chaoskit.model import Series, Verdict
from chaoskit.samples import Outcome, Stream

QUERY = 'refapp_requests_total{namespace="$namespace",app="front"}'
BEGAN, ENDED = 10.0, 20.0


def counter(moments, *, phase=0.3, interval=1.0, born=0.0, dies=99.0, reset=99.0, shown_until=None, end=25.0):
    """What Prometheus tells of a pod that counted at these moments: at each whole second the last scrape's value. What
    is counted starts anew at `reset`; after its death the last value is shown on until `shown_until`."""
    found = []
    for second in range(round(end) + 1):
        scrapes = [phase + i * interval for i in range(-1, round(end / interval) + 2)]
        seen = [at for at in scrapes if born <= at <= min(second, dies)]
        until = dies + interval if shown_until is None else shown_until
        if seen and second <= until:
            at = seen[-1]
            since = reset if at >= reset else born
            found.append((ORIGIN_UNIX + second, float(sum(since <= m <= at for m in moments))))
    return tuple(found)


def answered(samples=PULSE, *, where=lambda s: True):
    """When the app counted what the load recorded: about in the middle of each request."""
    return [(s.sent + s.end) / 2 for s in samples if s.status and s.ok and where(s)]


def series(*points):
    return answer(*points)


def seen(answers, **more):
    return record(locust=(), answers={f"{witness.PREFIX}{QUERY}": answers}, **more)


def outage(found):
    return Outage(of=STEP, at_most="1s", witness=QUERY).judge(found)


def test_two_witnesses_that_agree_are_both_told():
    found = outage(seen(series(counter(answered()))))
    assert found.verdict is Verdict.PASSED
    assert "the app counted 7" in found.reason or "the app counted 8" in found.reason
    assert "the load recorded 1,000 to 1,00" in found.reason
    shown = found.evidence[-1]
    assert shown.title == "second witness"
    assert shown.data["the app counted"].endswith("answers")


@pytest.mark.parametrize("share", [2, 3])
def test_two_witnesses_that_disagree_convict_nobody_and_acquit_nobody(share):
    half = [m for i, m in enumerate(answered()) if i % share]
    for samples, verdict in ((PULSE, Verdict.PASSED), (paced(25.0, down=[(12, 14)]), Verdict.FAILED)):
        more = seen(series(counter(answered(samples))), pulse=samples)
        assert Outage(of=STEP, at_most="1s").judge(more).verdict is verdict
    twice = outage(seen(series(counter(answered()), counter(answered()))))
    lied = Outage(of=STEP, at_most="1s", witness=QUERY).judge(
        seen(series(counter(half)), pulse=(*PULSE, *paced(25.0, stream=Stream.KEPT)))
    )
    for found in (twice, lied):
        assert found.verdict is Verdict.INCONCLUSIVE
        assert "the two witnesses disagree" in found.reason


def test_a_failure_is_not_believed_either_where_the_app_counted_what_the_load_says_it_lost():
    down = paced(25.0, down=[(11, 19)])
    found = outage(seen(series(counter(answered(PULSE))), pulse=down))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "the two witnesses disagree" in found.reason
    believed = outage(seen(series(counter(answered(PULSE))), pulse=tuple(_timed_out(s) for s in down)))
    assert "disagree" not in believed.reason, "the app may have answered what came too late for its user"


def _timed_out(found):
    return found if found.ok else sample(found.intended, Outcome.TIMEOUT)


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({}, "the second witness was never asked"),
        ({f"{witness.PREFIX}{QUERY}": answer()}, "the second witness gave no data"),
        ({f"{witness.PREFIX}{QUERY}": answer(error="refused")}, "the second witness gave no answer: refused"),
        ({f"{witness.PREFIX}{QUERY}": answer(counter(answered()), warnings=["partial"])}, "gave partial"),
        ({f"{witness.PREFIX}{QUERY}": answer(counter(answered())[:5])}, "too coarse"),
    ],
)
def test_a_witness_that_says_nothing_decides_nothing(answers, says):
    found = outage(record(answers=answers))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert says in found.reason


def test_scrapes_that_are_too_rare_for_the_window_are_no_witness():
    found = outage(seen(series(counter(answered(), interval=15.0)), scrape_interval_s=15.0))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "scrape more often" in found.reason


def test_a_measure_has_its_witness_and_a_query_is_one_already():
    found = Metric(holds="pulse_failures < 1%", of=STEP, witness=QUERY).judge(seen(series(counter(answered()))))
    assert found.verdict is Verdict.PASSED
    assert "the app counted" in found.reason
    with pytest.raises(ValueError, match="a witness is for a measure of the load"):
        Metric(holds="errors < 1%", witness=QUERY)


@pytest.mark.parametrize("shown_until", [None, 25.0])
def test_a_pod_that_is_killed_takes_its_last_count_along(shown_until):
    moments = answered()
    old, new = [m for m in moments if m < 15.7], [m for m in moments if m >= 15.7]
    killed = counter(old, dies=15.7, shown_until=shown_until)
    assert outage(seen(series(killed, counter(new, born=15.7, phase=0.9)))).verdict is Verdict.PASSED


def test_a_counter_that_starts_anew_goes_on():
    again = counter(answered(), reset=14.6)
    assert again[-1][1] < again[13][1] + 1000
    assert outage(seen(series(again))).verdict is Verdict.PASSED


PODS = st.lists(
    st.tuples(st.floats(0, 0.99), st.floats(3, 40), st.floats(3, 40), st.booleans(), st.floats(0, 19)),
    min_size=1,
    max_size=4,
)


@given(PODS, st.sampled_from([1.0, 2.0]))
def test_an_app_that_counts_right_is_never_said_to_disagree(pods, interval):
    """Whatever ends, begins or starts anew meanwhile."""
    counters, mine, moments = [], [], answered()
    for i, (phase, ends, set_back, stays, begins) in enumerate(pods):
        born, dies = (0.0, 99.0) if i == len(pods) - 1 else (begins, max(ends, begins + 0.5))
        share = [m for n, m in enumerate(moments) if n % len(pods) == i and born <= m <= dies]
        mine += share
        reset, shown = max(set_back, born), 25.0 if stays else None
        counters.append(
            counter(share, phase=phase, interval=interval, born=born, dies=dies, reset=reset, shown_until=shown)
        )
    counted_by_some = set(mine)
    pulse = tuple(s for s in PULSE if (s.sent + s.end) / 2 in counted_by_some)
    app = witness.counted([Series({}, p) for p in counters], ORIGIN_UNIX + BEGAN, ORIGIN_UNIX + ENDED, interval)
    load = witness.recorded(pulse, BEGAN, ENDED)
    assert app.meets(load), (app, load)


@given(st.floats(0, 20), st.floats(0.5, 5), st.sampled_from(list(Outcome)))
def test_the_load_s_span_holds_what_the_app_may_have_counted(began, lasts, outcome):
    samples = [sample(0.1 * i, outcome if i % 7 == 0 else Outcome.OK, took=0.3) for i in range(300)]
    found = witness.recorded(samples, began, began + lasts)
    reached = [s for s in samples if s.outcome not in witness.NEVER_ARRIVED]
    assert (
        found.low
        <= sum(s.outcome in witness.ANSWERED and began <= s.end - 0.1 < began + lasts for s in samples)
        <= found.high
    )
    assert found.high <= len(reached)


def test_the_query_is_checked_like_any_other():
    text = """
name: x
app: {namespace: shop}
steps: [{name: a, kill_pod: {of: deployment/front}}]
expect:
  - outage: {of: a, at_most: 1s, witness: 'x_total{namespace="$namspace"}'}
"""
    with pytest.raises(ExperimentError) as caught:
        spec.loads(text)
    assert "experiment:6:34: $namspace is not filled in; did you mean 'namespace'?" in str(caught.value)
    (check,) = spec.loads(text.replace("$namspace", "$namespace")).expect
    assert check.metrics() == {'witness: x_total{namespace="$namespace"}': 'x_total{namespace="$namespace"}'}
