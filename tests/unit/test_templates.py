"""A patch changes what it names and nothing else; its inverse makes exactly the old again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chaoskit.adapters.fake.store import merge as json_merge_patch
from chaoskit.templates import applied, difference, inverse, merge

KEYS = st.sampled_from(["a", "b", "c", "d"])
SCALARS = st.integers(0, 3) | st.text("xy", max_size=2) | st.booleans()


def items(values):
    """A list as of containers: each with a name that no other has."""
    named = st.tuples(KEYS, st.dictionaries(KEYS, values, max_size=2))
    return st.lists(named, min_size=1, max_size=3, unique_by=lambda pair: pair[0]).map(
        lambda pairs: [{"name": name, **rest} for name, rest in pairs]
    )


def maps(values):
    return st.dictionaries(KEYS, values, min_size=1, max_size=3)


OBJECTS = maps(st.recursive(SCALARS, lambda inner: maps(inner) | items(inner), max_leaves=6))
DELETED = KEYS.map(lambda name: [{"name": name, "$patch": "delete"}])
PATCHES = maps(st.recursive(SCALARS | st.none() | DELETED, lambda inner: maps(inner) | items(inner), max_leaves=6))


@given(OBJECTS, OBJECTS)
def test_a_difference_makes_the_new_by_json_merge_patch(old, new):
    assert json_merge_patch(old, difference(old, new)) == new


@given(OBJECTS, PATCHES)
def test_an_inverse_makes_the_old_again(old, patch):
    assert (merge(merge(old, patch), inverse(old, patch)) or {}) == old


@given(OBJECTS, PATCHES)
def test_what_was_patched_is_so(old, patch):
    new = merge(old, patch)
    assert new is None or applied(new, patch)


@given(OBJECTS, PATCHES)
def test_keys_that_the_patch_does_not_name_are_kept(old, patch):
    new = merge(old, patch) or {}
    assert {k: v for k, v in new.items() if k not in patch} == {k: v for k, v in old.items() if k not in patch}


TEMPLATE = {
    "metadata": {"labels": {"app": "front"}},
    "spec": {
        "containers": [
            {"name": "front", "image": "shop:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            {"name": "proxy", "image": "proxy:1"},
        ]
    },
}


def test_containers_and_variables_are_merged_by_name():
    patch = {
        "spec": {"containers": [{"name": "front", "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]}]}
    }
    new = merge(TEMPLATE, patch)
    front, proxy = new["spec"]["containers"]
    assert [(e["name"], e["value"]) for e in front["env"]] == [("A", "1"), ("B", "3"), ("C", "4")]
    assert front["image"] == "shop:1"
    assert proxy == TEMPLATE["spec"]["containers"][1]


def test_what_somebody_added_beside_it_outlives_the_undoing():
    patch = {"spec": {"containers": [{"name": "proxy", "env": [{"name": "A", "value": "1"}]}]}}
    new = merge(TEMPLATE, patch)
    new["spec"]["containers"][1]["env"].append({"name": "THEIRS", "value": "1"})
    after = merge(new, inverse(TEMPLATE, patch))
    assert after["spec"]["containers"][1]["env"] == [{"name": "THEIRS", "value": "1"}]


def test_a_variable_that_was_taken_away_comes_back_in_its_place():
    patch = {"spec": {"containers": [{"name": "front", "env": [{"name": "A", "$patch": "delete"}]}]}}
    new = merge(TEMPLATE, patch)
    assert [e["name"] for e in new["spec"]["containers"][0]["env"]] == ["B"]
    assert merge(new, inverse(TEMPLATE, patch)) == TEMPLATE


def test_an_empty_map_that_means_something_is_set_and_taken_away():
    patch = {"spec": {"volumes": [{"name": "scratch", "emptyDir": {}}]}}
    new = merge(TEMPLATE, patch)
    assert new["spec"]["volumes"] == [{"name": "scratch", "emptyDir": {}}]
    assert merge(new, inverse(TEMPLATE, patch)) == TEMPLATE
