"""What is known of another machine's clock always contains the truth, however unfair the network is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chaoskit.adapters.offset import DRIFT, Offset

DELAYS = st.floats(0.0, 2.0)
EXCHANGES = st.lists(st.tuples(st.floats(0.0, 100.0), DELAYS, DELAYS), min_size=1, max_size=20)
FLOAT_ERROR_S = 1e-6


def told(exchanges: list[tuple[float, float, float]], truth: float, drift: float) -> Offset:
    """By exchanges of (pause before, way there, way back), with a clock that is `truth` behind and drifts."""
    now, known = 0.0, None
    for pause, there, back in exchanges:
        sent = now + pause
        read = sent + there
        now = read + back
        found = Offset.of_exchange(sent, read - (truth + drift * read), now)
        known = known.narrowed(found) if known else found
    assert known is not None
    return known


@given(exchanges=EXCHANGES, truth=st.floats(-1e5, 1e5), share=st.floats(-1.0, 1.0), later=st.floats(0.0, 600.0))
def test_the_truth_is_within_what_is_known_and_stays_so(exchanges, truth, share, later):
    drift = share * DRIFT / 2
    known = told(exchanges, truth, drift)
    aged = known.aged(known.at + later)
    now = truth + drift * aged.at
    assert aged.low - FLOAT_ERROR_S <= now <= aged.high + FLOAT_ERROR_S


@given(exchanges=EXCHANGES, truth=st.floats(-1e5, 1e5))
def test_it_is_never_less_sure_than_by_its_last_exchange(exchanges, truth):
    known = told(exchanges, truth, 0.0)
    _, there, back = exchanges[-1]
    assert known.uncertainty <= (there + back) * (0.5 + DRIFT) + FLOAT_ERROR_S


def test_a_clock_that_jumped_is_believed_anew():
    known = Offset.of_exchange(10.0, 9.0, 10.002)
    jumped = known.narrowed(Offset.of_exchange(20.0, 500.0, 20.002))
    assert jumped.best == 20.001 - 500.0
    assert round(jumped.uncertainty, 6) == 0.001
