"""Reads what is to be deployed: a file, a folder of YAML, or a kustomization (built by kubectl)."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import yaml

from chaoskit.errors import ClusterError, ToolError, UsageError
from chaoskit.model import Raw

KUSTOMIZATION = "kustomization.yaml"
BUILD_WITHIN_S = 30
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


def read(path: Path, kubectl: Path | None = None) -> tuple[Raw, ...]:
    """The manifests in the order in which they are applied.

    UsageError names the file and what is wrong: nothing there, no YAML, no kind, or an object outside any namespace."""
    if not path.exists():
        raise UsageError("there are no manifests", where=str(path), fix="correct app.manifests, or write app: refapp")
    if path.is_dir() and (path / KUSTOMIZATION).exists():
        found = _parse(_kustomize(path, kubectl), str(path))
    else:
        files = sorted((*path.glob("*.yaml"), *path.glob("*.yml"))) if path.is_dir() else [path]
        found = [manifest for file in files for manifest in _parse(file.read_text(encoding="utf-8"), str(file))]
    if not found:
        raise UsageError("no manifest is in it", where=str(path), fix="put *.yaml files there")
    return tuple(sorted(found, key=_order))


def _order(manifest: Raw) -> int:
    kind = manifest["kind"]
    return FIRST_KINDS.index(kind) if kind in FIRST_KINDS else len(FIRST_KINDS)


def _kustomize(folder: Path, kubectl: Path | None) -> str:
    program = str(kubectl) if kubectl else shutil.which("kubectl")
    if program is None:
        raise ToolError("kubectl is needed to build a kustomization", where=str(folder), fix="install kubectl")
    # Variants of an app refer to the app's own folder beside theirs, which kustomize forbids unless told otherwise.
    command = [program, "kustomize", "--load-restrictor=LoadRestrictionsNone", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_WITHIN_S, check=False)
    if done.returncode:
        raise ClusterError("the kustomization cannot be built", where=str(folder), why=done.stderr.strip()[-400:])
    return done.stdout


def _parse(text: str, file: str) -> list[Raw]:
    try:
        documents = [d for d in yaml.safe_load_all(text) if d]
    except yaml.YAMLError as error:
        raise UsageError("is no YAML", where=file, why=" ".join(str(error).split())) from error
    return [m for document in documents for m in _checked(document, file)]


def _checked(document: object, file: str) -> Iterable[Raw]:
    if not isinstance(document, dict) or not document.get("kind") or not document.get("apiVersion"):
        raise UsageError("a document in it is no Kubernetes object: it has no kind or apiVersion", where=file)
    if document["kind"] == "List":
        for item in document.get("items") or ():
            yield from _checked(item, file)
        return
    if document["kind"] in CLUSTER_WIDE:
        raise UsageError(
            f"a {document['kind']} is in it",
            where=file,
            why="an app under test is deployed into one fresh namespace, and taken away with it",
            fix="leave it out, or prepare it yourself and use app: {namespace: NAME}",
        )
    if document["kind"] != "Kustomization":
        yield document
