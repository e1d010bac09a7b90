"""The app must run where there is Python and nothing else."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
import yaml

import chaoskit.refapp

ROOT = Path(chaoskit.refapp.__file__).parent
SOURCES = sorted((ROOT / "app").glob("*.py"))


def imported(path: Path) -> set[str]:
    """The top packages that a file imports; its own, by a relative import, are left out."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).partition(".")[0])
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_it_imports_the_standard_library_alone(path):
    assert imported(path) <= sys.stdlib_module_names


def test_the_image_runs_as_the_user_that_the_manifests_name():
    lines = (ROOT / "Containerfile").read_text().splitlines()
    (user,) = [line.split()[1] for line in lines if line.startswith("USER")]
    manifest = next(
        found
        for found in yaml.safe_load_all((ROOT / "manifests" / "store.yaml").read_text())
        if found["kind"] == "Deployment"
    )
    context = manifest["spec"]["template"]["spec"]["securityContext"]
    assert user == f"{context['runAsUser']}:{context['runAsGroup']}"
    assert context["fsGroup"] == context["runAsGroup"]
