"""The documents are true where a test can tell: links, commands and examples, and pages that follow from the code."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from chaoskit import spec, units
from chaoskit.actions import ACTIONS
from chaoskit.checks import CHECKS
from chaoskit.cli import cli

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "experiments" / "README.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^[ ]*```(\w*)\n(.*?)^[ ]*```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"chaoskit(?: [^\n;&|()`#]*)?")
PLACES = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES]
every_page = pytest.mark.parametrize("page", PLACES)


def blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in FENCE.findall(page.read_text()) if found == language]


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_links_lead_somewhere(page):
    for link in LINK.findall(prose(page)):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        to = (page.parent / file).resolve() if file else page
        assert to.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(to), f"{link}: {to.name} has {sorted(anchors(to))}"


def test_the_index_names_every_page():
    index = (ROOT / "docs" / "README.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"({page.name})" in index, page.name


# ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def commands(page: Path) -> Iterator[list[str]]:
    """What is typed: lines of shell blocks, and code in the text that begins with `chaoskit `."""
    shell = "\n".join(blocks(page, "sh"))
    inline = re.findall(r"`(chaoskit [^`]+)`", prose(page))
    typed = [line for line in shell.splitlines() if re.search(r"(^|[\s(])chaoskit ", line)]
    for line in [*typed, *inline]:
        for found in COMMAND.findall(line.partition(" #")[0]):
            yield shlex.split(found)[1:]


def parse(words: list[str]) -> None:
    """Raises click's UsageError for a command or an option that does not exist. Runs nothing."""
    command: click.Command = cli
    parent = click.Context(cli, info_name="chaoskit")
    while isinstance(command, click.Group) and words:
        name, words = words[0], words[1:]
        found = command.get_command(parent, name)
        assert found is not None, f"there is no command {name!r}"
        command = found
    if words:
        command.make_context(command.name, list(words), parent=parent)


@every_page
def test_commands_can_be_typed(page):
    for words in commands(page):
        try:
            parse([word for word in words if word not in ("…", "...")])
        except click.BadParameter as error:
            assert "does not exist" in str(error), words  # a run's folder that stands for the reader's own
        except click.UsageError as error:
            pytest.fail(f"chaoskit {shlex.join(words)}: {error.format_message()}")


def test_a_misspelt_option_would_be_noticed():
    with pytest.raises(click.UsageError):
        parse(["run", "a.yaml", "--sede", "7"])


def test_make_targets_exist():
    there = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        typed = re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)", page.read_text(), re.MULTILINE)
        assert {a or b for a, b in typed} <= there, page


# ── examples ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def whole(snippet: object) -> dict:
    """A whole experiment around a piece of one."""
    step = {"name": "lose a pod", "kill_pod": {"of": "deployment/front"}}
    around = {
        "name": "example",
        "metrics": {"errors": "x", "ready_fronts": "y"},
        "steps": [step, {"name": "crash the back", "kill_container": {"of": "deployment/back"}}],
        "expect": [{"recovery": {"of": "lose a pod", "within": "10s"}}],
    }
    for name in ("new version", "bad version"):
        around["steps"].append({"name": name, "roll_out": {"of": "deployment/front", "image": "shop:2"}})
    switch = {"switch_service": {"of": "service/front", "to": {"colour": "green"}}}
    around["steps"] += [{"name": "switch to green", **switch}]
    lost = ("lose a node", "the zone is back", "drain a node")
    around["steps"] += [{"name": name, "drain_node": {"of": "deployment/front"}} for name in lost]
    if isinstance(snippet, list):
        return {**around, "expect": snippet}
    if set(snippet) & set(ACTIONS):
        return {**around, "steps": [*around["steps"], {"name": "example", **snippet}]}
    return {**around, **snippet}


@every_page
def test_examples_of_experiments_are_valid(page):
    for text in blocks(page, "yaml"):
        if re.search(r"^steps:", text, re.MULTILINE):
            spec.loads(text, page.name)
        else:
            spec.loads(yaml.safe_dump(whole(yaml.safe_load(text))), f"{page.name}: {text}")


@every_page
def test_python_compiles(page):
    for text in blocks(page, "python"):
        compile(text, str(page), "exec")


# ── the schema ───────────────────────────────────────────────────────────────────────────────────────────────────────


KINDS = {
    "string": str,
    "object": dict,
    "array": list,
    "null": type(None),
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}


def misfit(value: object, schema: dict, defined: dict) -> str:
    """Where an editor would mark the value, or empty. The part of JSON Schema that our schema uses."""
    if "$ref" in schema:
        return misfit(value, defined[schema["$ref"].rpartition("/")[2]], defined)
    if "anyOf" in schema:
        tried = [misfit(value, one, defined) for one in schema["anyOf"]]
        return "" if "" in tried else " and ".join(tried)
    if not fits(value, schema):
        return f"{value!r} does not fit {schema}"
    if isinstance(value, list):
        return next(filter(None, (misfit(item, schema["items"], defined) for item in value)), "")
    return misfit_of_keys(value, schema, defined) if isinstance(value, dict) else ""


def fits(value: object, schema: dict) -> bool:
    kind = schema.get("type")
    right = isinstance(value, KINDS[kind]) if kind else True
    truth_for_number = isinstance(value, bool) and kind in ("integer", "number")
    return (
        right and not truth_for_number and value in schema.get("enum", [value]) and value == schema.get("const", value)
    )


def misfit_of_keys(value: dict, schema: dict, defined: dict) -> str:
    known, more = schema.get("properties", {}), schema.get("additionalProperties")
    for key in schema.get("required", ()):
        if key not in value:
            return f"{key} is missing"
    for key, part in value.items():
        if key not in known and more is False:
            return f"{key} is unknown"
        if found := misfit(part, known.get(key, more or {}), defined):
            return f"{key}: {found}"
    return ""


def test_an_editor_marks_nothing_in_valid_experiments():
    schema = json.loads(spec.schema())
    texts = [path.read_text() for path in (ROOT / "experiments").glob("*.yaml")]
    texts += [text for page in PAGES for text in blocks(page, "yaml") if re.search(r"^steps:", text, re.MULTILINE)]
    assert len(texts) > 3
    for text in texts:
        assert misfit(yaml.safe_load(text), schema, schema["$defs"]) == "", text


@pytest.mark.parametrize(
    ("right", "wrong"), [("watch: 12s", "watch: 12"), ("steps:", "stepps:"), ("mode: now", "mode: nwo")]
)
def test_an_editor_marks_what_is_wrong(right, wrong):
    schema = json.loads(spec.schema())
    text = (ROOT / "experiments" / "pod-kill.yaml").read_text().replace(right, wrong)
    assert misfit(yaml.safe_load(text), schema, schema["$defs"])


# ── generated pages ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def generate():
    place = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(place)
    sys.modules["generate"] = module
    place.loader.exec_module(module)
    yield module
    del sys.modules["generate"]


def test_generated_pages_are_fresh(generate):
    for path, text in generate.files().items():
        assert path.read_text() == text, f"{path.relative_to(ROOT)} is stale; type: python docs/generate.py"


@pytest.mark.parametrize(("page", "names"), [("actions.md", ACTIONS), ("checks.md", CHECKS)])
def test_every_action_and_check_has_a_section_with_an_example(generate, page, names):
    text = (ROOT / "docs" / page).read_text()
    for name in names:
        assert f"## {name}\n" in text
        assert name in generate.NOTES, f"NOTES in docs/generate.py lacks {name}"


# ── the action that the guide builds ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_the_guides_action_works_as_written(tmp_path):
    """Installed as a distribution is: the module, and metadata that names its entry point."""
    page = ROOT / "docs" / "adding-an-action.md"
    action, test = blocks(page, "python")
    (project,) = map(tomllib.loads, blocks(page, "toml"))
    (tmp_path / "scale_down.py").write_text(action)
    (tmp_path / "test_scale_down.py").write_text(test)
    named = project["project"]
    metadata = tmp_path / f"{named['name'].replace('-', '_')}-{named['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {named['name']}\nVersion: {named['version']}\n")
    ((group, offered),) = named["entry-points"].items()
    lines = [f"{key} = {value}\n" for key, value in offered.items()]
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{''.join(lines)}")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    options = ["-q", "-p", "no:cacheprovider", "-W", "error", "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_the_page_on_the_load_tells_the_defaults_of_the_pulse():
    said = (ROOT / "docs" / "load.md").read_text()
    assert f"A request times out after {units.exact(spec.Pulse().timeout, 's')} (`load.pulse.timeout`)" in said
    assert f"one request every {units.exact(spec.Pulse().period, 's')} (`load.pulse.period`)" in said
