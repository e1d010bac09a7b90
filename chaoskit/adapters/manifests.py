"""Reads what is to be deployed: a file, a folder of YAML, or a kustomization (built by kubectl)."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from chaoskit.errors import ClusterError, ToolError, UsageError
from chaoskit.model import Raw
from chaoskit.units import shown

KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
"""The names under which kustomize looks for one."""
BUILD_WITHIN_S = 30.0
LARGEST_DOCUMENT = 200_000
"""Parts of one document; etcd takes no object of more than 1.5 MB."""
FIRST_KINDS = ("ServiceAccount", "Role", "RoleBinding", "ConfigMap", "Secret", "PersistentVolumeClaim", "Service")
"""Applied before the rest: what pods refer to, and Services, whose addresses pods find in their environment."""
CLUSTER_WIDE = (
    "Namespace",
    "Node",
    "PersistentVolume",
    "ClusterRole",
    "ClusterRoleBinding",
    "StorageClass",
    "APIService",
)
WITH_REPLICAS = ("Deployment", "StatefulSet")
"""Kinds whose pods are foreseen by the plan: they must have a template."""
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads as Kubernetes does: a date is a text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own attribute
        first: [(tag, pattern) for tag, pattern in found if tag != _TIMESTAMP]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read(path: Path, kubectl: Path | None = None, *, within_s: float = BUILD_WITHIN_S) -> tuple[Raw, ...]:
    """The manifests in the order in which they are applied.

    UsageError names the place and what is wrong: nothing there, no YAML, no kind, no name, or an object outside any
    namespace. `within_s` is how long a kustomization may take."""
    if not path.exists():
        raise UsageError("there are no manifests", where=str(path), fix="correct app.manifests, or write app: refapp")
    if path.is_dir() and any((path / name).exists() for name in KUSTOMIZATIONS):
        found = list(_parse(_kustomize(path, kubectl, within_s), f"{path} as built"))
    else:
        files = sorted((*path.glob("*.yaml"), *path.glob("*.yml"))) if path.is_dir() else [path]
        found = [manifest for file in files for manifest in _parse(_text(file), str(file))]
    if not found:
        raise UsageError("no manifest is in it", where=str(path), fix="put *.yaml files there")
    return tuple(sorted(found, key=_order))


def _order(manifest: Raw) -> int:
    kind = manifest["kind"]
    return FIRST_KINDS.index(kind) if kind in FIRST_KINDS else len(FIRST_KINDS)


def _kustomize(folder: Path, kubectl: Path | None, within_s: float) -> str:
    program = str(kubectl) if kubectl else shutil.which("kubectl")
    if program is None:
        raise ToolError("kubectl is needed to build a kustomization", where=str(folder), fix="install kubectl")
    # Variants of an app refer to the app's own folder beside theirs, which kustomize forbids unless told otherwise.
    command = [program, "kustomize", "--load-restrictor=LoadRestrictionsNone", str(folder)]
    again = f"kubectl kustomize --load-restrictor=LoadRestrictionsNone {folder} shows it by itself"
    try:
        done = subprocess.run(command, capture_output=True, timeout=within_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise ClusterError(
            f"the kustomization was not built within {within_s:g} s",
            where=str(folder),
            why="it may refer to something remote that does not answer",
            fix=again,
        ) from error
    except OSError as error:
        raise ToolError("kubectl could not be started", where=program, why=str(error.strerror)) from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-400:]
        raise ClusterError("the kustomization cannot be built", where=str(folder), why=said, fix=again)
    return done.stdout.decode(errors="replace")


# ── one file ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _text(file: Path) -> str:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise UsageError("the manifest cannot be read", where=str(file), why=str(error.strerror)) from error
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = raw.count(b"\n", 0, error.start) + 1, error.start - raw.rfind(b"\n", 0, error.start)
        raise UsageError(
            "the manifest is not UTF-8",
            where=f"{file}:{line}:{column}",
            why=f"byte {raw[error.start]:#04x} begins no character",
            fix=f"save it as UTF-8, as in: iconv -f latin1 -t utf-8 {file}",
        ) from error


def _parse(text: str, file: str) -> Iterator[Raw]:
    try:
        loader = _Loader(text)
        while loader.check_node():
            node = loader.get_node()
            if _size(node, {}) > LARGEST_DOCUMENT:
                raise _no_yaml(_at(file, node.start_mark), "its aliases make it grow without end when it is read")
            document = loader.construct_document(node)
            if document:
                yield from _checked(document, node, file)
    except yaml.MarkedYAMLError as error:
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise _no_yaml(_at(file, error.problem_mark or error.context_mark), said) from error
    except yaml.reader.ReaderError as error:
        before = text.encode()[: error.position] if isinstance(error.position, int) else b""
        place = f"{file}:{before.count(10) + 1}:{len(before) - before.rfind(10)}"
        raise _no_yaml(place, f"{error.reason} ({error.character!r})") from error
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        # A number that is too long, or a mapping as a key, is a plain error of Python's.
        raise _no_yaml(f"{file}:1:1", " ".join(str(error).split())) from error


def _size(node: yaml.Node, known: dict[int, float]) -> float:
    """How many parts a document has once its aliases are written out; infinite for one that contains itself."""
    if id(node) not in known:
        known[id(node)] = math.inf
        pairs = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = [part for pair in pairs for part in (pair if isinstance(pair, tuple) else (pair,))]
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]


def _no_yaml(where: str, why: str) -> UsageError:
    return UsageError("the manifest is no YAML", where=where, why=why, fix="correct it there")


def _at(file: str, mark: Any) -> str:  # noqa: ANN401 - a mark of either parser, or None
    return f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else f"{file}:1:1"


# ── one object ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _checked(document: object, node: yaml.Node, file: str) -> Iterable[Raw]:
    where = _at(file, node.start_mark)
    if not isinstance(document, dict):
        raise UsageError(
            "this is no Kubernetes object",
            where=where,
            why=f"it is {shown(document)}, not a mapping with apiVersion, kind and metadata",
            fix="remove it, or put the manifests into a folder of their own",
        )
    kind = _said(document, "kind", "as in kind: Deployment", where)
    _said(document, "apiVersion", "as in apiVersion: apps/v1", where)
    if kind == "List":
        yield from _items(document, node, file)
    elif kind in CLUSTER_WIDE:
        raise UsageError(
            f"a {kind} is in it",
            where=where,
            why="an app under test is deployed into one fresh namespace, and taken away with it",
            fix="leave it out, or prepare it yourself and use app: {namespace: NAME}",
        )
    elif kind != "Kustomization":
        meta = document.get("metadata")
        _said(meta if isinstance(meta, dict) else {}, "name", "as in metadata: {name: front}", where, kind)
        if kind in WITH_REPLICAS and not _containers(document):
            raise UsageError(
                f"the {kind} has no containers",
                where=where,
                why="spec.template.spec.containers is missing or has no names",
                fix="kubectl explain " + kind.lower() + ".spec.template.spec.containers",
            )
        yield document


def _said(part: Raw, key: str, example: str, where: str, of: str = "object") -> str:
    """The text under a key that must be there."""
    found = part.get(key)
    if isinstance(found, str) and found:
        return found
    path = f"metadata.{key}" if key == "name" else key
    why = f"{path} is missing" if found is None else f"{path} is {shown(found)}, not a text"
    article = "an" if of[0] in "aeiouAEIOU" else "a"
    raise UsageError(f"{article} {of} without {path} is in it", where=where, why=why, fix=f"write it, {example}")


def _items(document: Raw, node: yaml.Node, file: str) -> Iterator[Raw]:
    items = document.get("items") or []
    nodes = next((value for key, value in node.value if key.value == "items"), node)
    if not isinstance(items, list):
        raise UsageError("the items of a List are no list", where=_at(file, nodes.start_mark))
    for item, place in zip(items, nodes.value, strict=False):
        yield from _checked(item, place, file)


def _containers(workload: Raw) -> bool:
    """Whether its pods' template names its containers."""
    found: object = workload
    for key in ("spec", "template", "spec", "containers"):
        found = found.get(key) if isinstance(found, dict) else None
    return bool(found) and isinstance(found, list) and all(isinstance(c, dict) and c.get("name") for c in found)
