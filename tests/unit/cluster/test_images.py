from __future__ import annotations

from pathlib import Path

import pytest

from chaoskit.cluster import images


@pytest.fixture
def template(tmp_path: Path) -> Path:
    template = tmp_path / "template"
    for path, content in {
        f"{images.SNAPSHOTS}/metadata.db": "snapshots",
        f"{images.SNAPSHOTS}/snapshots/1/fs/bin/true": "program",
        f"{images.CONTENT}/blobs/sha256/abc": "blob",
        f"{images.METADATA}/meta.db": "images",
    }.items():
        (template / path).parent.mkdir(parents=True, exist_ok=True)
        (template / path).write_text(content)
    return template


def test_layers_are_links_to_where_nodes_see_them(template: Path, tmp_path: Path) -> None:
    images.take_over(template, tmp_path / "store")
    layer = images.layers(tmp_path / "store") / "1"
    assert str(layer.readlink()) == f"{images.LAYERS}/1"
    assert (images.layers(template) / "1" / "fs" / "bin" / "true").read_text() == "program"


def test_what_a_node_writes_does_not_reach_the_template(template: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    images.take_over(template, store)
    for database in (f"{images.SNAPSHOTS}/metadata.db", f"{images.METADATA}/meta.db"):
        (store / database).write_text("changed")
        assert (template / database).read_text() != "changed"
    (images.layers(store) / "1").unlink()
    assert (images.layers(template) / "1").is_dir()


def test_a_store_of_an_earlier_life_is_thrown_away(template: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    images.take_over(template, store)
    (store / "old-container").write_text("")
    images.take_over(template, store)
    assert not (store / "old-container").exists()
    assert (store / images.CONTENT / "blobs" / "sha256" / "abc").read_text() == "blob"
