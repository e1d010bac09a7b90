"""The dashboards' JSON against the types that Grafana publishes for it (@grafana/schema), by TypeScript's own compiler.

Both come from npm, once, into a folder beside the tests; without npm this is skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from test_dashboards import FILES, board

pytestmark = pytest.mark.slow
PACKAGES = ("@grafana/schema@13.2.3", "typescript@7.0.2")
INSTALL_S = 300
TYPES = {"timeseries": "TimeSeries", "state-timeline": "StateTimeline", "stat": "Stat", "table": "Table"}
WITHOUT_FIELDS = ("stat",)
OPTIONS = ("--noEmit", "--strict", "--skipLibCheck", "--moduleResolution", "bundler", "--module", "esnext")
HEAD = """
import type * as schema from '@grafana/schema';

// A value of an enum is written as its text.
type Plain<T> = T extends string ? (string extends T ? T : `${T}`)
  : T extends (infer E)[] ? Plain<E>[] : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
// What Prometheus' and Grafana's own data source add: @grafana/data lets a data source do so.
type OfPrometheus = { expr?: string; step?: string; titleFormat?: string; textFormat?: string; tagKeys?: string;
  useValueForTime?: boolean };
type OfGrafana = { target?: { refId: string; type: 'tags'; tags: string[]; matchAny: boolean; limit: number } };
type Query = Plain<schema.AnnotationQuery>;
type Mark = (Query & OfPrometheus) | (Omit<Query, 'target'> & OfGrafana);
type Board = Omit<Plain<schema.Dashboard>, 'annotations'> & { annotations: { list: Mark[] } };
"""


@pytest.fixture(scope="module")
def packages() -> Path:
    """A folder in which the packages are installed."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm here")
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chaoskit-tests" / "npm"
    folder.mkdir(parents=True, exist_ok=True)
    stamp, wanted = folder / "installed", " ".join(PACKAGES)
    if not stamp.exists() or stamp.read_text() != wanted:
        (folder / "package.json").write_text('{"private": true}')
        argv = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-save", *PACKAGES]
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        if done.returncode:
            pytest.skip(f"npm does not install {wanted}: {done.stderr[-300:]}")
        stamp.write_text(wanted)
    return folder


def compiled(folder: Path, source: str) -> str:
    """What the compiler objects to."""
    file = folder / "check.ts"
    file.write_text(source)
    argv = [str(folder / "node_modules" / ".bin" / "tsc"), *OPTIONS, "--target", "es2022", "--types", "", file.name]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=120, check=False).stdout


def imported(kind: str) -> str:
    folder = kind.replace("-", "")
    path = f"@grafana/schema/dist/esm/raw/composable/{folder}/panelcfg/x/{TYPES[kind]}PanelCfg_types.gen"
    return f"import type * as {TYPES[kind]} from '{path}';"


def source(boards: list[dict]) -> str:
    lines = [*map(imported, TYPES), HEAD]
    for number, found in enumerate(boards):
        lines.append(f"const board{number}: Board = {json.dumps(found)};")
        for panel in found["panels"]:
            if panel["type"] == "row":
                continue
            kind, name = TYPES[panel["type"]], f"{number}_{panel['id']}"
            lines.append(f"const options{name}: Plain<Partial<{kind}.Options>> = {json.dumps(panel['options'])};")
            if panel["type"] not in WITHOUT_FIELDS:
                custom = panel["fieldConfig"]["defaults"].get("custom", {})
                lines.append(f"const fields{name}: Plain<Partial<{kind}.FieldConfig>> = {json.dumps(custom)};")
    return "\n".join(lines)


def test_the_dashboards_have_grafanas_types(packages):
    assert compiled(packages, source([board(file) for file in FILES])) == ""


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda b: b.update(refesh="5s"), "refesh"),
        (lambda b: b["panels"][1]["options"].update(colorMode="bright"), '"bright"\' is not assignable'),
        (lambda b: b["annotations"]["list"][0].update(iconColour="red"), "iconColour"),
    ],
)
def test_what_grafana_does_not_know_would_be_noticed(packages, change, says):
    wrong = board(FILES[-1])
    change(wrong)
    assert says in compiled(packages, source([wrong]))
