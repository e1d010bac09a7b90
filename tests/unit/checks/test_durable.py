"""What was promised and what is there: judged from ledgers with known answers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import STEP, act, record, sample, step

from chaoskit import spec
from chaoskit.checks.durable import Durable
from chaoskit.evidence_orders import WRITES, orders, writing
from chaoskit.model import Verdict
from chaoskit.record import LEDGER, _ledger
from chaoskit.samples import Outcome, Stream

PROMISED = [f"o{n}" for n in range(1, 201)]
"""One every 0.1 s, from 0.1 s to 20 s; the step is from 10 s to 20 s."""


def wrote(order, at, *, acknowledged=True):
    return {"what": "wrote", "at": at, "end": at + 0.01, "id": order, "status": 201, "acknowledged": acknowledged}


def counted(at, count, *, took=0.01):
    return {"what": "counted", "at": at, "end": at + took, "count": count}


def ledger(*more, kept=PROMISED, error=""):
    lines = [wrote(order, (n + 1) / 10) for n, order in enumerate(PROMISED)]
    lines += [counted(at + 0.05, at * 10) for at in range(1, 20)]
    last = {"what": "read all", "at": 26.0, "end": 26.1} | ({"error": error} if error else {"ids": list(kept)})
    return tuple(sorted([*lines, *more, last], key=lambda line: line["end"]))


def writes(down=()):
    """The writers' requests, one every 0.1 s; those sent in `down` failed."""
    moments = [n / 10 for n in range(1, 250)]
    bad = {t for t in moments for a, b in down if a <= t < b}
    found = (sample(t, Outcome.HTTP_ERROR if t in bad else Outcome.OK, late=0.0, stream=Stream.LOCUST) for t in moments)
    return tuple(replace(s, name=WRITES) for s in found)


def judged(told, *, down=(), **keys):
    return Durable(of=STEP, **keys).judge(record(ledger=told, locust=writes(down)))


def test_all_that_was_promised_is_there_once():
    found = judged(ledger(), no_writes_for="1s")
    assert found.verdict is Verdict.PASSED, found.reason
    assert "all of 200 acknowledged writes are there, each once" in found.reason
    assert "19 reads never went back" in found.reason
    assert (found.value, found.unit) == (0.0, "writes")


@pytest.mark.parametrize(
    ("told", "because", "value"),
    [
        (ledger(kept=PROMISED[:-3]), "3 acknowledged writes lost; the first is o198, acknowledged at 19.81 s", 3),
        (ledger(kept=[*PROMISED, "o7"]), "1 write there twice; the first is o7", 1),
        (ledger(counted(15.2, 40)), "reads went back: 150 orders at 15.06 s, 40 at 15.20 s", 110),
        (
            ledger({"what": "looked up", "at": 16.0, "end": 16.1, "id": "o9", "found": False}, error="away"),
            "1 acknowledged write lost; the first is o9, gone at 16.00 s",
            1,
        ),
    ],
)
def test_a_broken_promise_fails_and_names_the_first(told, because, value):
    found = judged(told)
    assert found.verdict is Verdict.FAILED
    assert found.reason == because
    assert found.value == value


def test_the_same_order_promised_twice_is_promised_once():
    told = ledger(wrote("o7", 15.0))
    assert orders(record(ledger=told)).acknowledged.__len__() == 200
    assert judged(told).verdict is Verdict.PASSED


def test_an_order_in_doubt_may_be_kept_or_not():
    open_ = wrote("in-doubt", 15.0, acknowledged=False)
    assert orders(record(ledger=ledger(open_))).open == {"in-doubt"}
    assert judged(ledger(open_)).verdict is Verdict.PASSED
    assert judged(ledger(open_, kept=[*PROMISED, "in-doubt"])).verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("told", "because"),
    [
        (ledger(error="status 503"), "all orders could not be read at the end: status 503"),
        (ledger()[:-1], "the load ended before all orders had been read"),
        ((), "nobody kept a ledger"),
        (tuple(line for line in ledger() if line["what"] != "counted"), "nobody read how many orders there are"),
        (tuple(line for line in ledger() if line["end"] > 10), "no write was acknowledged before the step"),
        (
            tuple(line for line in ledger() if line["end"] < 10 or line["what"] == "read all"),
            "no write was acknowledged in the step's window",
        ),
    ],
)
def test_what_was_not_looked_at_is_undecided(told, because):
    found = judged(told)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert because in found.reason


def test_the_time_without_writes_has_its_uncertainty():
    found = judged(ledger(), down=[(12.0, 15.0)], no_writes_for="2s")
    assert found.verdict is Verdict.FAILED
    assert found.value == pytest.approx(3.0, abs=0.11)
    assert found.uncertainty == pytest.approx(0.1, abs=0.01)
    assert judged(ledger(), down=[(12.0, 15.0)], no_writes_for="4s").verdict is Verdict.PASSED
    assert judged(ledger(), down=[(12.0, 15.0)], no_writes_for="3s").verdict is Verdict.INCONCLUSIVE


def test_writes_that_never_came_back_are_undecided():
    found = judged(ledger(), down=[(12.0, 30.0)], no_writes_for="60s")
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "watch longer" in found.reason


def test_a_step_that_did_not_land_decides_nothing():
    missed = record(ledger=ledger(), steps=(step([replace(act(), landed=None)]),))
    assert Durable(of=STEP).judge(missed).verdict is Verdict.INCONCLUSIVE


def test_writers_are_a_load_that_an_experiment_can_name():
    load = f"load: {{locustfile: {spec.WRITER}}}\n"
    steps = "steps: [{name: s, kill_pod: {of: deployment/store}}]\n"
    experiment = spec.loads(f"name: x\n{load}{steps}expect: [durable: {{of: s}}]\n")
    assert experiment.locustfile == spec.BUILT_IN[spec.WRITER]
    assert experiment.own_locustfile is None
    assert spec.loads(spec.dumps(experiment)) == experiment


def test_a_torn_last_line_is_left_out(tmp_path):
    (tmp_path / LEDGER).write_text('{"what":"counted","at":1,"end":2,"count":3}\n{"what":"coun')
    assert [line["count"] for line in _ledger(tmp_path / LEDGER)] == [3]
    assert list(_ledger(tmp_path / "not there")) == []


# ── what always holds ────────────────────────────────────────────────────────────────────────────────────────────────

MOMENTS = st.tuples(st.floats(0, 30), st.floats(0, 3), st.integers(0, 20))


@given(st.lists(MOMENTS, max_size=20))
def test_reads_go_back_exactly_where_a_later_one_is_smaller(moments):
    lines = tuple(counted(at, number, took=took) for at, took, number in moments)
    told = orders(record(ledger=(*lines, {"what": "read all", "at": 40.0, "end": 40.0, "ids": []})))
    pairs = {(b["at"], b["count"]) for a in lines for b in lines if a["end"] < b["at"] and a["count"] > b["count"]}
    assert {(later.at, later.number) for _, later in told.went_back} == pairs
    for earlier, later in told.went_back:
        assert earlier.end < later.at
        assert earlier.number > later.number


@given(st.sets(st.sampled_from(PROMISED)), st.lists(st.sampled_from(PROMISED), max_size=5))
def test_lost_and_kept_make_up_what_was_promised(kept, again):
    told = orders(record(ledger=ledger(kept=[*sorted(kept), *again])))
    lost = {m.id for m in told.lost}
    assert lost | kept | set(again) == set(PROMISED)
    assert not lost & kept
    assert set(told.doubled) == {o for o in again if again.count(o) + (o in kept) > 1}


@given(st.floats(11, 15), st.floats(0.2, 4))
def test_the_bracket_contains_the_true_time_without_writes(begin, length):
    seen = writing(record(locust=writes([(begin, begin + length)])), 10.0, 20.0)
    assert seen.longest is not None
    assert seen.longest.shortest - 1e-9 <= length <= seen.longest.longest + 1e-9
