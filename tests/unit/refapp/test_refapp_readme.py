"""The app's README tells what the app really has."""

from __future__ import annotations

import re
from pathlib import Path

import chaoskit.refapp

ROOT = Path(chaoskit.refapp.__file__).parent
README = (ROOT / "README.md").read_text()


def test_it_names_every_setting_and_no_other():
    code = (ROOT / "app" / "settings.py").read_text()
    read = set(re.findall(r'env\.\w+\(\s*"(\w+)"', code))
    section = README.partition("## Settings")[2].partition("## Metrics")[0]
    told = set(
        re.findall(r"`([A-Z][A-Z_]+)`", "".join(line.split("|")[1] for line in section.splitlines() if "|" in line))
    )
    assert told == read


def test_it_names_every_metric_and_no_other(open_shop):
    open_shop.order("named")
    pages = [role.get("/metrics").text for role in (open_shop.front, open_shop.back, open_shop.store)]
    there = {name for page in pages for name in re.findall(r"# TYPE (refapp_\w+)", page)}
    assert set(re.findall(r"`(refapp_\w+)", README.partition("## Metrics")[2])) == there


def test_it_names_every_route(open_shop):
    told = set(re.findall(r"(/[a-z]*)", README.partition("## Endpoints")[2].partition("## What")[0]))
    for role in (open_shop.front, open_shop.back, open_shop.store):
        there = {path.replace("/{id}", "") for path in role.get("/nowhere").json["paths"]}
        assert there <= told
