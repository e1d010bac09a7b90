from __future__ import annotations

import pytest

from chaoskit.cluster.patience import allowed_s
from chaoskit.errors import UsageError


def test_a_deadline_stands_as_it_is_unless_patience_is_asked_for() -> None:
    assert allowed_s(20.0, {}) == 20.0


def test_patience_multiplies_every_deadline() -> None:
    assert allowed_s(20.0, {"CHAOSKIT_PATIENCE": "2.5"}) == 50.0


@pytest.mark.parametrize("text", ["", "much", "0", "-1", "0.5", "nan", "inf", "101"])
def test_what_is_no_factor_is_refused_with_the_next_command(text: str) -> None:
    with pytest.raises(UsageError, match="CHAOSKIT_PATIENCE") as refused:
        allowed_s(20.0, {"CHAOSKIT_PATIENCE": text})
    assert "export CHAOSKIT_PATIENCE=5" in refused.value.fix
