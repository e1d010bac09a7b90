"""Changing a part of an object and putting exactly that part back: a merge, and the patch that undoes it. Pure.

As in kubectl's strategic merge, lists of things with a `name` (containers, environment variables, ports) are merged by
it, null takes a key away, and `{name: x, $patch: delete}` an item; any other list is replaced. So what somebody else
changed beside it is kept, both when the patch is applied and when it is undone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Json: TypeAlias = Any
"""Anything that JSON can say."""
DELETE = "$patch"
PLACE = "$at"
"""Beside an item that comes back: its place in the list, because the order of containers and variables matters."""


def merge(old: Json, patch: Json) -> Json:
    """`old` with `patch` in it. What the patch empties goes away, as the API server keeps no empty map or list."""
    if _is_named(patch):
        return _merge_items(old if _is_named(old) else (), patch) or None
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(old) if isinstance(old, Mapping) else {}
    for key, value in patch.items():
        new = None if value is None else merge(merged.get(key), value)
        if new is None:
            merged.pop(key, None)
        else:
            merged[key] = new
    return None if patch and not merged else merged


def inverse(old: Json, patch: Json) -> Json:
    """The patch that makes `old` again of `merge(old, patch)`."""
    if _is_named(patch) and (old is None or _is_named(old)):
        return _inverse_items(old or (), patch)
    if isinstance(patch, Mapping) and patch and (old is None or isinstance(old, Mapping)):
        before = old or {}
        return {key: _inverse_value(before.get(key), value) for key, value in patch.items()}
    return old


def difference(old: Mapping[str, Json], new: Mapping[str, Json]) -> dict[str, Json]:
    """The JSON merge patch (RFC 7386) that makes `new` of `old`."""
    found: dict[str, Json] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            if before != value:
                found[key] = difference(before, value)
        elif key not in old or before != value:
            found[key] = value
    return found


def both(first: Json, second: Json) -> Json:
    """Two patches as one; where both speak of the same, the second counts. What they take away stays in them."""
    if _is_named(first) and _is_named(second):
        there = {item["name"]: item for item in first}
        there.update({item["name"]: both(there.get(item["name"], {}), item) for item in second})
        return list(there.values())
    if not isinstance(first, Mapping) or not isinstance(second, Mapping):
        return second
    return {**first, **{key: both(first[key], value) if key in first else value for key, value in second.items()}}


def applied(o: Json, patch: Json) -> bool:
    """Whether the object is as the patch wants it."""
    return bool(merge(o, patch) == o)


def _inverse_value(old: Json, patch: Json) -> Json:
    """Of a key that was not there, only what the patch puts there is taken away again."""
    return old if patch is None else inverse(old, patch)


def _is_named(value: Json) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and bool(value)
        and all(isinstance(item, Mapping) and "name" in item for item in value)
    )


def _merge_items(old: Sequence[Mapping[str, Json]], patch: Sequence[Mapping[str, Json]]) -> list[Json]:
    items = [dict(item) for item in old]
    for wanted in sorted(patch, key=lambda item: int(item.get(PLACE, 0))):
        at = next((i for i, item in enumerate(items) if item["name"] == wanted["name"]), None)
        if wanted.get(DELETE) == "delete":
            if at is not None:
                del items[at]
            continue
        change = {key: value for key, value in wanted.items() if key != PLACE}
        if at is not None:
            items[at] = merge(items[at], change)
        else:
            items.insert(int(wanted.get(PLACE, len(items))), merge({}, change))
    return items


def _inverse_items(old: Sequence[Mapping[str, Json]], patch: Sequence[Mapping[str, Json]]) -> list[Json]:
    before = {item["name"]: (place, item) for place, item in enumerate(old)}
    back: list[Json] = []
    for wanted in patch:
        named = wanted["name"]
        if named not in before:
            back.append({"name": named, DELETE: "delete"})
            continue
        place, item = before[named]
        gone = wanted.get(DELETE) == "delete"
        back.append({**item, PLACE: place} if gone else {**inverse(item, wanted), "name": named})
    return back
