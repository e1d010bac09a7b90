"""summary.md as a pull request shows it."""

import re
from dataclasses import replace

import story

from chaoskit.report import markdown


def test_verdict_first_then_failed_before_passed():
    lines = markdown.render(story.failing().result).splitlines()
    assert lines[0].startswith("# ✗ failed: users had no answer for 0.81 s")
    rows = [line for line in lines if line.startswith(("| ✗", "| ✓", "| ?"))]
    assert len(rows) == 6
    assert rows[0].startswith("| ✗ failed | outage")
    assert "0.81" in rows[0]
    assert "±" in rows[0]
    assert "at most 0.5 s" in rows[0]
    assert all(row.startswith("| ✓ passed") for row in rows[1:])


def test_recovery_link_by_link_and_how_to_do_it_again():
    text = markdown.render(story.passing().result)
    assert "| replacement in endpoints | 3.288 s |" in text
    assert "chaoskit run experiment.yaml --seed 7" in text
    assert "chaoskit judge ." in text


def test_on_somebodys_cluster_the_context_is_named():
    told = story.passing().result
    theirs = replace(told, cluster=replace(told.cluster, provider="existing", context="prod; rm -rf /"))
    assert "--context 'prod; rm -rf /'" in markdown.render(theirs)


def test_what_is_in_doubt_and_what_is_left_broken_is_told():
    assert "the load's own processes kept up: Locust used 97 % of a core" in markdown.render(
        story.inconclusive().result
    )
    assert "type `kubectl uncordon node-2`" in markdown.render(story.unhealed().result)


def test_hostile_texts_break_neither_table_nor_page():
    text = markdown.render(story.hostile().result)
    outside_of_code = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", text)
    assert "<script>" in text
    assert "<script>" not in outside_of_code
    assert "\x1b" not in text
    rows = [line for line in text.splitlines() if line.startswith(("| ✗", "| ✓"))]
    assert len(rows) == 6
    assert {row.replace("\\|", "").count("|") for row in rows} == {7}
