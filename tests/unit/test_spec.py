"""The experiment file: what is written is read back, and everything wrong is told with its place and what to write."""

from __future__ import annotations

import json
import time
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from strategies import experiments

from chaoskit import spec
from chaoskit.actions import ACTIONS
from chaoskit.checks import CHECKS
from chaoskit.errors import ExperimentError

EXAMPLE = Path(__file__).parents[2] / "experiments" / "pod-kill.yaml"
SMALL = """\
name: small
steps:
  - name: lose a pod
    kill_pod: {of: deployment/front}
    watch: 5s
expect:
  - outage: {of: lose a pod, at_most: 1s}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(ExperimentError) as caught:
        spec.loads(text, "x.yaml")
    return list(caught.value.problems)


# ── round trip ───────────────────────────────────────────────────────────────────────────────────────────────────────


@given(experiments())
def test_an_experiment_is_read_back_as_it_was_written(experiment):
    """By us, and by others' readers of YAML: editors see the file too."""
    written = spec.dumps(experiment)
    assert spec.loads(written) == experiment
    assert yaml.safe_load(written)["name"] == experiment.name


def test_the_example_is_valid_and_is_read_back():
    experiment = spec.load(EXAMPLE)
    assert spec.loads(spec.dumps(experiment), folder=experiment.folder) == experiment


def test_every_action_and_check_is_generated_here():
    """A new action or check needs a line in strategies.py."""
    text = Path(__file__).with_name("strategies.py").read_text(encoding="utf-8")
    for part in (*ACTIONS.values(), *CHECKS.values()):
        assert part.__name__ in text


def test_short_forms_mean_their_long_ones():
    short = spec.loads(SMALL + "  - metric: errors < 1%\nmetrics: {errors: up}\napp: refapp\n")
    long = spec.loads(SMALL + "  - metric: {holds: errors < 1%}\nmetrics: {errors: up}\napp: {manifests: refapp}\n")
    assert short == long


# ── what is wrong is told ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("old", "new", "place", "says"),
    [
        ("kill_pod", "kil_pod", "x.yaml:4:5", "unknown key 'kil_pod'; did you mean 'kill_pod'?"),
        ("kill_pod", "reboot_moon", "x.yaml:4:5", "unknown key 'reboot_moon'; there are: "),
        ("watch: 5s", "watch: 5", "x.yaml:5:5", "write a duration with its unit, as in 30s or 250ms, not 5"),
        ("watch: 5s", "watch: 5 parsecs", "x.yaml:5:5", "is no duration; write it as in 30s"),
        ("watch: 5s", "wach: 5s", "x.yaml:5:5", "did you mean 'watch'?"),
        ("steps:", "stepps:", "x.yaml:2:1", "did you mean 'steps'?"),
        ("steps:", "stepps:", "x.yaml:1:1", "'steps' is missing"),
        ("at_most: 1s", "at_mots: 1s", "x.yaml:7:30", "did you mean 'at_most'?"),
        ("at_most: 1s", "at_most: 5%", "x.yaml:7:30", "is no duration"),
        (
            "of: lose a pod",
            "of: loose a pod",
            "x.yaml:7:14",
            "no step is called 'loose a pod'; did you mean 'lose a pod'?",
        ),
        ("deployment/front", "deploymint/front", "x.yaml:4:16", "'deploymint' is no kind that can be named here"),
        ("deployment/front", "front", "x.yaml:4:16", "name an object as kind/name, as in deployment/front"),
        ("{of: deployment/front}", "deployment/front", "x.yaml:4:5", "a mapping is needed here"),
        ("{of: deployment/front}", "{}", "x.yaml:4:5", "'of' is missing here"),
        ("kill_pod: {of: deployment/front}", "{}", "x.yaml:5:5", "is no YAML"),
        ("    kill_pod: {of: deployment/front}\n", "", "x.yaml:3:5", "give exactly one action of: "),
        (
            "    watch: 5s",
            "    drain_node: {name: a}",
            "x.yaml:3:5",
            "this says 2: drain_node, kill_pod",
        ),
        ("{of: deployment/front}", "{of: deployment/front, count: 0}", "x.yaml:4:38", "at least 1"),
        ("{of: deployment/front}", "{of: deployment/front, count: true}", "x.yaml:4:38", "write a number or a share"),
        ("{of: deployment/front}", "{of: deployment/front, mode: gently}", "x.yaml:4:38", "'delete', 'evict' or 'now'"),
        ("name: small", "name: ''", "x.yaml:1:1", "one line of 1 to 120 characters"),
        ("name: small", 'name: "a\\nb"', "x.yaml:1:1", "one line of 1 to 120 characters"),
        ("name: small", "name: 5", "x.yaml:1:1", "valid string"),
        ("name: small", "name: small\nload: {users: 0}", "x.yaml:2:8", "greater than or equal to 1"),
        ("name: small", "name: small\nload: {users: 1.5}", "x.yaml:2:8", "valid integer"),
        ("name: small", "name: small\nload: {usres: 5}", "x.yaml:2:8", "did you mean 'users'?"),
        ("name: small", "name: small\nload: {pulse: {perod: 5ms}}", "x.yaml:2:16", "did you mean 'period'?"),
        ("name: small", "name: small\nsafety: {at_most: 0.5}", "x.yaml:2:10", "with a percent sign, as in 50%"),
        ("name: small", "name: small\nsafety: {stop_if: [failure > 5%]}", "x.yaml:2:20", "did you mean 'failures'?"),
        ("name: small", "name: small\nload: none\nsafety: {stop_if: [p99 > 5s]}", "x.yaml:3:20", "has none"),
        ("name: small", "name: small\nsteady_state: {hold: []}", "x.yaml:2:16", "'hold' is empty"),
        ("name: small", "name: small\nsteady_state: {hold: [errors]}", "x.yaml:2:23", "NAME < LIMIT"),
        (
            "name: small",
            "name: small\nsteady_state: {hold: [errors < 1%]}",
            "x.yaml:2:23",
            "nothing is called 'errors'",
        ),
        ("name: small", "name: small\nmetrics: {p99: up}", "x.yaml:2:1", "one of the load's own measures"),
        ("name: small", "name: small\nmetrics: {a b: up}", "x.yaml:2:1", "is no name"),
        ("name: small", "name: small\nmetrics: {a: 'up{n=\"$namspace\"}'}", "x.yaml:2:11", "did you mean 'namespace'?"),
        ("name: small", "name: small\non: 5", "x.yaml:2:1", "unknown key 'on'"),
        ("name: small", "name: small\napp: [a]", "x.yaml:2:1", "a mapping is needed here"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_the_way_out(old, new, place, says):
    assert SMALL.count(old) >= 1
    told = problems(SMALL.replace(old, new, 1) if old != "of: lose a pod" else new.join(SMALL.rsplit(old, 1)))
    assert any(line.startswith(f"{place}: ") and says in line for line in told), told


@pytest.mark.parametrize(
    ("load", "expect", "place", "says"),
    [
        ("none", "outage: {of: lose a pod, at_most: 1s}", "x.yaml:8:5", "measured by the pulse"),
        ("{users: 5}", "outage: {of: lose a pod, at_most: 0s}", "x.yaml:8:30", "at_most: 20ms and lost: 0"),
        ("{locustfile: none, must_reach: 5/s}", "steady_state: {}", "x.yaml:2:26", "locustfile is none"),
        ("{locustfile: none}", "metric: p99 < 1s", "x.yaml:8:5", "Locust's requests"),
    ],
)
def test_what_the_load_could_never_decide_is_refused(load, expect, place, says):
    text = SMALL.replace("name: small", f"name: small\nload: {load}").replace(
        "outage: {of: lose a pod, at_most: 1s}", expect
    )
    told = problems(text)
    assert len(told) == 1
    assert told[0].startswith(f"{place}: ")
    assert says in told[0]


def test_an_experiment_that_expects_nothing_is_refused():
    head = SMALL.split("expect:", maxsplit=1)[0]
    assert problems(head + "expect: []\n") == [
        "x.yaml:6:1: 'expect' is empty: an experiment that expects nothing proves nothing"
    ]
    assert problems(head) == ["x.yaml:1:1: 'expect' is missing here"]


def test_two_steps_of_one_name_are_refused():
    twice = SMALL.replace("expect:", "  - name: lose a pod\n    cordon_node: {name: a}\nexpect:")
    assert problems(twice) == ["x.yaml:6:5: two steps are called 'lose a pod'"]


def test_all_mistakes_are_told_at_once_but_not_without_end():
    told = problems(SMALL.replace("watch: 5s", "watch: 5").replace("at_most: 1s", "at_most: 1"))
    assert [line.split(": ")[0] for line in told] == ["x.yaml:5:5", "x.yaml:7:30"]
    many = problems(SMALL + "".join(f"key{i}: 1\n" for i in range(2000)))
    assert len(many) <= spec.MOST_PROBLEMS + 1
    assert "more" in many[-1]


@pytest.mark.parametrize("query", ['label_replace(up, "a", "$1", "b", "(.*)")', 'up{code=~"5..$"}', "up{a='$$x'}"])
def test_dollar_signs_of_promql_are_left_alone(query):
    assert spec.loads(SMALL + f"metrics:\n  a: {json.dumps(query)}\n").metrics == {"a": query}


@pytest.mark.parametrize("text", ["", "5", "[]", "- a", "true", "# nothing"])
def test_what_is_no_mapping_is_no_experiment(text):
    assert problems(text)[0].startswith("x.yaml:1:1: an experiment is a mapping")


# ── hostile input ────────────────────────────────────────────────────────────────────────────────────────────────────

KEYS = st.sampled_from(["name", "of", "holds", "for", "hold", "pulse", "steps", "expect", *ACTIONS, *CHECKS])
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["1s", "50%", "deployment/front", "errors < 1%", "x" * 5000, "lose a pod", "$x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | KEYS, inner, max_size=3),
    max_leaves=6,
)


def everywhere(data, path=()):
    """The path of each part of plain data."""
    yield path
    parts = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, part in parts:
        yield from everywhere(part, (*path, key))


VALID = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))


@given(path=st.sampled_from(list(everywhere(VALID))), value=ANYTHING)
def test_any_value_in_any_place_is_read_or_refused_with_a_place(path, value):
    data = deepcopy(VALID)
    if path:
        part = data
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = value
    else:
        data = value
    _read_or_refused(yaml.safe_dump(data, allow_unicode=True))


@given(st.text(max_size=200))
def test_any_text_is_refused_with_a_place(text):
    with pytest.raises(ExperimentError) as caught:
        spec.loads(text, "x.yaml")
    assert caught.value.problems[0].startswith("x.yaml:")


@given(
    st.integers(0, len(SMALL)), st.text(max_size=3) | st.sampled_from(["\t", "\x00", "&a ", "*a", "!!map ", "- ", "? "])
)
def test_a_valid_file_with_anything_put_in_is_read_or_refused_with_a_place(at, what):
    _read_or_refused(SMALL[:at] + what + SMALL[at:])


def _read_or_refused(text: str) -> None:
    began = time.process_time()
    try:
        spec.loads(text, "x.yaml")
    except ExperimentError as error:
        for line in error.problems:
            assert line.startswith(("x.yaml:", "…")), line
            assert len(line) < 2000
    assert time.process_time() - began < 2


# ── changes, schema ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_changes_are_checked_as_a_file_would_be():
    experiment = spec.loads(
        SMALL.replace("outage: {of: lose a pod, at_most: 1s}", "recovery: {of: lose a pod, within: 1s}")
    )
    assert spec.with_changes(experiment, {"load": {"users": 80}}).load.users == 80
    assert spec.with_changes(experiment, {"load": "none"}).load is None
    assert spec.with_changes(spec.with_changes(experiment, {"load": "none"}), {"load": {"users": 3}}).load.users == 3
    with pytest.raises(ExperimentError, match="did you mean 'users'"):
        spec.with_changes(experiment, {"load": {"usres": 80}})


def test_the_schema_knows_every_action_and_check():
    text = spec.schema()
    schema = json.loads(text)
    assert schema["$schema"].startswith("https://json-schema.org/")
    for key in (*ACTIONS, *CHECKS):
        assert f'"{key}"' in text
    assert schema["additionalProperties"] is False


def test_the_locustfile_is_found_beside_the_experiment(tmp_path):
    text = SMALL + "load: {locustfile: load/mine.py}\n"
    assert spec.loads(text, folder=tmp_path).locustfile == tmp_path / "load" / "mine.py"
    assert spec.loads(SMALL + "load: {locustfile: none}\n").locustfile is None
    assert spec.loads(SMALL).locustfile == spec.SHOPPER_FILE
