"""Reads YAML so that every complaint can name its place: plain data beside the line and column of each part.

Scalars follow YAML 1.2 (`on` is a text, `1:30` is a text); anchors, aliases and tags are refused, so that no file can
grow when it is read; a key that stands twice is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from chaoskit.errors import ExperimentError
from chaoskit.units import shown

LARGEST_BYTES = 1 << 17
DEEPEST = 40
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser is twenty times as fast, and is there wherever PyYAML comes as a wheel."""
_NO_CHARACTER = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""YAML 1.2, production c-printable."""
_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
Path_ = tuple[str | int, ...]


@dataclass
class Document:
    """Plain data (dicts, lists, str, int, float, bool, None), and where each part stands."""

    file: str
    data: object
    places: dict[Path_, tuple[int, int]] = field(default_factory=dict)

    def place(self, path: Path_) -> str:
        """`file:line:column` of the part, or of the nearest one around it."""
        while path not in self.places and path:
            path = path[:-1]
        line, column = self.places.get(path, (1, 1))
        return f"{self.file}:{line}:{column}"


def load(path: Path) -> Document:
    """ExperimentError with the place, for everything that is wrong with the file itself."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ExperimentError([f"{path}: cannot be read: {error.strerror}"]) from error
    try:
        return loads(raw.decode("utf-8"), str(path))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        raise ExperimentError([f"{path}:{line}:{column}: is not UTF-8 (byte {error.start})"]) from error


def loads(text: str, file: str = "experiment") -> Document:
    document = Document(file, None)
    _look_for_characters(text, file)
    try:
        _look_for_growth(text, file)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        at = _at(file, error.problem_mark or error.context_mark)
        raise ExperimentError([f"{at}: is no YAML: {_complaint(error)}"]) from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # A number in an escape or a directive that is no character, or too long to be read, is a plain ValueError.
        raise ExperimentError([f"{file}:1:1: is no YAML: {str(error).splitlines()[0]}"]) from error
    if node is not None:
        document.data = _build(node, (), document)
    return document


def _complaint(error: yaml.MarkedYAMLError) -> str:
    return ", ".join(said for said in (error.context, error.problem) if said) or "it cannot be read"


def _at(file: str, mark: Any) -> str:  # noqa: ANN401 - a mark of either parser, or None
    return f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else f"{file}:1:1"


def _look_for_characters(text: str, file: str) -> None:
    """Too long a text, and characters that YAML does not allow: the parser names no line for them."""
    if len(text) > LARGEST_BYTES:
        raise ExperimentError(
            [f"{file}:1:1: is {len(text)} characters long; an experiment has at most {LARGEST_BYTES}"]
        )
    if found := _NO_CHARACTER.search(text):
        line = text.count("\n", 0, found.start()) + 1
        column = found.start() - text.rfind("\n", 0, found.start())
        raise ExperimentError([f"{file}:{line}:{column}: is no YAML: the character {found[0]!r} is not allowed"])


def _look_for_growth(text: str, file: str) -> None:
    """Aliases, anchors, tags and deep nests: they are seen as events, before anything grows."""
    depth = 0
    for event in _events(text):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            at = _at(file, event.start_mark)
            raise ExperimentError([f"{at}: anchors and aliases are not allowed; write the part out"])
        if tag := getattr(event, "tag", None):
            raise ExperimentError([f"{_at(file, event.start_mark)}: the tag {tag[:60]!r} is not allowed"])
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ExperimentError([f"{_at(file, event.start_mark)}: is nested more than {DEEPEST} deep"])


def _events(text: str) -> Iterator[yaml.Event]:
    yield from yaml.parse(text, Loader=_Loader)


def _build(node: yaml.Node, path: Path_, document: Document) -> object:
    document.places[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, document)
    if isinstance(node, yaml.SequenceNode):
        return [_build(child, (*path, i), document) for i, child in enumerate(node.value)]
    return scalar(str(node.value), plain=getattr(node, "style", None) not in ("'", '"', "|", ">"))


def _mapping(node: yaml.MappingNode, path: Path_, document: Document) -> dict[str, object]:
    found: dict[str, object] = {}
    for key_node, value_node in node.value:
        at = f"{document.file}:{key_node.start_mark.line + 1}:{key_node.start_mark.column + 1}"
        if not isinstance(key_node, yaml.ScalarNode):
            raise ExperimentError([f"{at}: a key must be a plain text"])
        key = str(key_node.value)
        if key in found:
            raise ExperimentError([f"{at}: {shown(key)} stands here for the second time"])
        found[key] = _build(value_node, (*path, key), document)
        document.places[(*path, key)] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
    return found


def scalar(text: str, *, plain: bool = True) -> object:
    """What a scalar means; `plain`: it stands without quotes."""
    if not plain:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


_WORDS: dict[str, object] = {"true": True, "false": False, "null": None, "~": None, "": None}
