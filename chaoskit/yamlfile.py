"""Reads YAML so that every complaint can name its place: plain data beside the line and column of each part.

Scalars follow YAML 1.2 (`on` is a text, `1:30` is a text); anchors, aliases and tags are refused, so that no file can
grow when it is read; a key that stands twice is an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from chaoskit.errors import ExperimentError

LARGEST_BYTES = 1 << 20
DEEPEST = 40
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
    if len(raw) > LARGEST_BYTES:
        raise ExperimentError([f"{path}: is {len(raw)} bytes long; an experiment has at most {LARGEST_BYTES}"])
    try:
        return loads(raw.decode("utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise ExperimentError([f"{path}: is not UTF-8 (byte {error.start})"]) from error


def loads(text: str, file: str = "experiment") -> Document:
    document = Document(file, None)
    try:
        node = yaml.compose(_without_aliases(text, file), Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ExperimentError([f"{file}{at}: is no YAML: {error.problem or error.context}"]) from error
    except yaml.YAMLError as error:
        raise ExperimentError([f"{file}: is no YAML: {str(error).splitlines()[0]}"]) from error
    if node is not None:
        document.data = _build(node, (), document)
    return document


def _without_aliases(text: str, file: str) -> str:
    """The text, once it is known to hold neither alias nor anchor nor too deep a nest: they are seen as events,
    before anything grows."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        mark = event.start_mark
        at = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ExperimentError([f"{at}: anchors and aliases are not allowed; write the part out"])
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ExperimentError([f"{at}: is nested more than {DEEPEST} deep"])
    return text


def _build(node: yaml.Node, path: Path_, document: Document) -> object:
    document.places[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, document)
    if isinstance(node, yaml.SequenceNode):
        return [_build(child, (*path, i), document) for i, child in enumerate(node.value)]
    return _scalar(node, document.place(path))


def _mapping(node: yaml.MappingNode, path: Path_, document: Document) -> dict[str, object]:
    found: dict[str, object] = {}
    for key_node, value_node in node.value:
        at = f"{document.file}:{key_node.start_mark.line + 1}:{key_node.start_mark.column + 1}"
        if not isinstance(key_node, yaml.ScalarNode):
            raise ExperimentError([f"{at}: a key must be a plain text"])
        key = str(key_node.value)
        if key in found:
            raise ExperimentError([f"{at}: {key!r} stands here for the second time"])
        found[key] = _build(value_node, (*path, key), document)
        document.places[(*path, key)] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
    return found


def _scalar(node: yaml.Node, at: str) -> object:
    text = str(node.value)
    if node.tag not in _PLAIN_TAGS:
        raise ExperimentError([f"{at}: the tag {node.tag!r} is not allowed"])
    if getattr(node, "style", None) in ("'", '"', "|", ">"):
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


_WORDS: dict[str, object] = {"true": True, "false": False, "null": None, "~": None, "": None}
_PLAIN_TAGS = {f"tag:yaml.org,2002:{t}" for t in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value")}
