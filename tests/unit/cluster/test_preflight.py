from __future__ import annotations

from pathlib import Path

import pytest

from chaoskit.cluster import preflight
from chaoskit.errors import ToolError, UsageError


@pytest.mark.parametrize("nodes", [0, -1, 100])
def test_an_impossible_number_of_nodes_is_refused(nodes: int) -> None:
    with pytest.raises(UsageError, match="cannot have"):
        preflight.check_nodes(nodes, 99)


def test_too_little_room_is_told_for_the_folder_that_exists(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="MB are free") as full:
        preflight.check_space(tmp_path / "not" / "yet" / "there", needed=10**18)
    assert full.value.where == str(tmp_path)
    assert "XDG_STATE_HOME" in full.value.fix
