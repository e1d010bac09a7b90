"""Image archives are read before anything is done with them, and what is none is told from what is one."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from chaoskit.cluster import archives
from chaoskit.errors import UsageError

WHOLE, REF = archives.WHOLE_NAME, archives.REF_NAME


def tar(path: Path, **files: object) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            data = json.dumps(content).encode()
            info = tarfile.TarInfo(name.replace("__", "-").replace("_", "."))
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def docker(path: Path, *tags: str) -> Path:
    return tar(path, manifest_json=[{"Config": "c", "Layers": [], "RepoTags": list(tags)}])


def oci(path: Path, *annotations: dict[str, str]) -> Path:
    index = {"manifests": [{"digest": "sha256:0", "annotations": a} for a in annotations]}
    return tar(path, oci__layout={"imageLayoutVersion": "1.0.0"}, index_json=index)


@pytest.mark.parametrize(
    ("tag", "known_as"),
    [
        ("shop:1", "docker.io/library/shop:1"),
        ("team/shop:1", "docker.io/team/shop:1"),
        ("localhost/shop:1", "localhost/shop:1"),
        ("registry.example.org:5000/shop", "registry.example.org:5000/shop:latest"),
        ("registry.example.org/shop:1", "registry.example.org/shop:1"),
    ],
)
def test_names_are_those_by_which_kubernetes_looks(tmp_path: Path, tag: str, known_as: str) -> None:
    assert archives.image_names(docker(tmp_path / "a.tar", tag)) == (known_as,)


def test_an_archive_may_hold_several_images_and_be_compressed(tmp_path: Path) -> None:
    plain = docker(tmp_path / "a.tar", "localhost/a:1", "localhost/b:1")
    packed = tmp_path / "a.tar.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert archives.image_names(packed) == ("localhost/a:1", "localhost/b:1")


def test_of_an_oci_archive_the_whole_name_counts(tmp_path: Path) -> None:
    both = oci(tmp_path / "a.tar", {WHOLE: "localhost/a:1", REF: "1"}, {REF: "localhost/b:2"})
    assert archives.image_names(both) == ("localhost/a:1", "localhost/b:2")


@pytest.mark.parametrize("name", ["1", "shop:1", "team/shop:1"])
def test_an_oci_archive_without_the_whole_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="not a whole name") as refused:
        archives.image_names(oci(tmp_path / "a.tar", {REF: name}))
    assert "oci-archive:shop.tar:localhost/shop:1" in refused.value.fix


def test_what_is_no_archive_is_told_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "short.tar").write_bytes(docker(tmp_path / "a.tar", "x:1").read_bytes()[:700])
    wrong = {
        tmp_path / "none.tar": "no such file",
        tmp_path: "a folder",
        tmp_path / "text": "no image archive",
        tmp_path / "short.tar": "no image archive",
        tar(tmp_path / "other.tar", readme="hello"): "no image archive",
        docker(tmp_path / "nameless.tar"): "what its image is called",
        oci(tmp_path / "nameless-oci.tar", {}): "what its image is called",
        tar(tmp_path / "odd.tar", manifest_json="hello"): "what its image is called",
    }
    for path, what in wrong.items():
        with pytest.raises(UsageError, match=what) as refused:
            archives.image_names(path)
        assert refused.value.where == str(path)


def test_an_image_that_is_loaded_again_takes_the_place_of_the_first(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    for text in ("first", "second"):
        (tmp_path / "a.tar").write_text(text)
        archives.keep(tmp_path / "a.tar", ("localhost/a:1",), folder)
    (kept,) = archives.kept_in(folder)
    assert kept.read_text() == "second"
    assert list(folder.iterdir()) == [kept]


def test_what_is_kept_is_in_the_order_of_loading(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_text("")
    kept = [archives.keep(tmp_path / "a.tar", (name,), tmp_path) for name in ("x", "y", "z")]
    for i, path in enumerate(reversed(kept)):
        os.utime(path, (i, i))
    (tmp_path / "a.tar").unlink()
    assert archives.kept_in(tmp_path) == kept[::-1]
