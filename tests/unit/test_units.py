"""Numbers with units: what is written is read back exactly, and a wrong one says what would be right."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import DURATIONS, RATES, SHARES

from chaoskit import units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30.0), ("250ms", 0.25), ("1m30s", 90.0), ("0s", 0.0), ("2h", 7200.0), ("1.5s", 1.5), ("10us", 1e-5)],
)
def test_a_duration_is_read_in_seconds(text, seconds):
    assert units.duration(text) == pytest.approx(seconds, abs=1e-12)


@pytest.mark.parametrize(
    "wrong", ["30", 30, 0.5, True, None, "", "5 parsecs", "-3s", "s", "1e3s", "٣s", "31d", "9" * 500 + "s", []]
)
def test_a_duration_without_a_unit_or_beyond_reason_says_how_one_is_written(wrong):
    with pytest.raises(ValueError, match=r"30s|30 days") as caught:
        units.duration(wrong)
    assert len(str(caught.value)) < 200


@given(DURATIONS | st.floats(0, 86400 * 30).map(lambda s: f"{s:.9f}s").filter(lambda t: float(t[:-1]) <= 86400 * 30))
@example("0.0000001s")
def test_a_duration_survives_being_written(text):
    seconds = units.duration(text)
    assert units.duration(units.write_duration(seconds)) == seconds


@given(SHARES)
@example("0.00000000001%")
@example("33.333333333333336%")
def test_a_share_survives_being_written(text):
    fraction = units.share(text)
    assert units.share(units.write_share(fraction)) == fraction


@given(RATES)
@example("12345678901.5/s".replace("12345678901", "123456789"))
def test_a_rate_survives_being_written(text):
    value = units.rate(text)
    assert units.rate(units.write_rate(value)) == value


@pytest.mark.parametrize("wrong", ["101%", "5", 0.5, True, "-1%", "% 5", "1e2%", "9" * 999 + "%"])
def test_a_wrong_share_is_refused(wrong):
    with pytest.raises(ValueError, match="%"):
        units.share(wrong)


@pytest.mark.parametrize("wrong", ["5", 5, "5/m", "-1/s", "9" * 400 + "/s", True])
def test_a_wrong_rate_is_refused(wrong):
    with pytest.raises(ValueError, match=r"200/s|a billion"):
        units.rate(wrong)


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("0.1%", 0.001, "%"),
        ("300ms", 0.3, "s"),
        ("64Mi", 64 * 2**20, "B"),
        ("64MiB", 64 * 2**20, "B"),
        ("1KB", 1000, "B"),
        ("7B", 7, "B"),
        ("200/s", 200, "/s"),
        ("3", 3, ""),
        ("-2.5e-3", -0.0025, ""),
        ("1 %", 0.01, "%"),
    ],
)
def test_a_quantity_comes_in_its_base_unit(text, value, unit):
    assert units.quantity(text) == (pytest.approx(value), unit)


@pytest.mark.parametrize("wrong", ["", "abc", "1e999", "1e308Ti", "5 apples", "NaN", "inf", "--3", "1e99999"])
def test_a_quantity_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match=r"no number|too large"):
        units.quantity(wrong)


@given(st.text(max_size=30))
def test_no_text_makes_a_parser_fail_otherwise(text):
    for parse in (units.duration, units.share, units.rate, units.quantity):
        try:
            parse(text)
        except ValueError as error:
            assert str(error)


@pytest.mark.parametrize(
    ("value", "unit", "uncertainty", "text"),
    [
        (1.2401, "s", 0.01, "1.24 s ± 10 ms"),
        (0.0003, "%", None, "0.03 %"),
        (212.4, "/s", None, "212/s"),
        (None, "s", None, "–"),
        (math.nan, "s", None, "NaN"),
        (0.8101, "s", None, "0.81 s"),
        (12345.678, "s", None, "12346 s"),
        (99.96, "/s", None, "100/s"),
        (0.0, "%", None, "0 %"),
        (1e-9, "", None, "1e-09"),
        (-0.0421, "s", None, "-42.1 ms"),
        (5.0, "requests", None, "5 requests"),
        (math.inf, "s", None, "inf s"),
        (0.998, "s", 0.05, "1 s ± 50 ms"),
        (0.5, "s", 0.00012, "0.5 s ± 0.12 ms"),
        (3.0, "", None, "3"),
        (64 * 2**20, "B", None, "64 MiB"),
    ],
)
def test_a_value_is_shown_with_its_unit_and_uncertainty(value, unit, uncertainty, text):
    assert units.show(value, unit, uncertainty) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.5, "s", "0.5 s"), (1.2345, "s", "1.2345 s"), (0.0123456, "s", "12.3456 ms"), (0.00125, "%", "0.125 %")],
)
def test_a_limit_keeps_all_of_its_digits(value, unit, text):
    assert units.exact(value, unit) == text


@given(st.floats(-1e6, 1e6), st.floats(1e-9, 1e6))
def test_rounding_moves_a_value_by_less_than_its_uncertainty(value, uncertainty):
    shown, doubt = units.rounded(value, uncertainty)
    assert abs(shown - value) <= uncertainty / 2 + 1e-9 * abs(value)
    assert abs(doubt - uncertainty) <= uncertainty / 2
    assert units.show(value, "s", uncertainty).split("± ")[1] not in ("0 s", "0 ms")


@given(st.floats(0.1, 1e3), st.floats(1e-3, 0.1))
def test_a_value_is_told_from_a_limit_that_is_near(limit, away):
    assert float(units.show(limit + away, "", apart=away)) > limit
