"""How numbers and times are worded."""

from dataclasses import replace

import pytest
import story
from hypothesis import given
from hypothesis import strategies as st

from chaoskit.report import wording


@pytest.mark.parametrize(
    ("value", "uncertainty", "words"),
    [
        (7.6512, 0.00985, "7.651 s ± 10 ms"),
        (4.334, 0.1443, "4.33 s ± 0.14 s"),
        (3.288, 0.05, "3.29 s ± 50 ms"),
        (0.8101, 0.0098, "0.81 s ± 10 ms"),
        (12.0, 0.0, "12 s"),
        (None, 0.1, "–"),
    ],
)
def test_no_more_digits_than_the_uncertainty_allows(value, uncertainty, words):
    assert wording.shown(value, "s", uncertainty) == words


@given(st.text())
def test_cleaned_text_can_be_written_and_commands_nothing(text):
    cleaned = wording.clean(text)
    cleaned.encode()
    assert not {c for c in cleaned if ord(c) < 32 and c not in "\n\t"}
    assert "\n" not in wording.one_line(text)


def test_a_margin_says_on_which_side():
    finding = story.failing().result.asked[1]
    assert wording.margin(finding).endswith("beyond the limit")
    assert wording.margin(replace(finding, margin=0.25)) == "0.25 s to spare"
    assert wording.margin(replace(finding, margin=0.0)) == "exactly at the limit"
    assert wording.margin(replace(finding, margin=None)) == ""
