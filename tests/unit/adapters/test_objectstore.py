"""Copying results into a bucket: what is sent, signed how, and what is said where it is not taken."""

from __future__ import annotations

import hashlib
import re

import pytest

from chaoskit.adapters.objectstore import ObjectStore
from chaoskit.errors import PortError, UsageError

SECRET = "wJalrXUtnFEMI/K7MDENG"  # noqa: S105 - of nobody
SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=AKID/\d{8}/eu-north-1/s3/aws4_request, ?"
    r"SignedHeaders=([\w;-]+), ?Signature=[0-9a-f]{64}"
)


def environment(served, **more):
    known = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "eu-north-1"}
    return known | {"AWS_ENDPOINT_URL": served.url} | more


@pytest.fixture
def night(tmp_path):
    folder = tmp_path / "20270115-night"
    (folder / "a run").mkdir(parents=True)
    (folder / "index.html").write_text("<p>all held</p>")
    (folder / "a run" / "pulse.bin").write_bytes(bytes(range(256)))
    return folder


PLACE = "/results/team/nights/20270115-night"
INDEX, PULSE = f"{PLACE}/index.html", f"{PLACE}/a%20run/pulse.bin"


def test_a_folder_is_copied_with_all_that_is_in_it(served, script, night):
    for path in (INDEX, PULSE):
        served.on("PUT", path, script.reply(b""))
    store = ObjectStore("s3://results/team/nights/", environment(served) | {"AWS_SESSION_TOKEN": "for-an-hour"})
    assert store.put(night) == "s3://results/team/nights/20270115-night"
    assert [asked.path for asked in served.asked("PUT")] == [PULSE, INDEX]
    for asked, name, kind in zip(
        served.asked("PUT"), ("a run/pulse.bin", "index.html"), ("application/octet-stream", "text/html"), strict=True
    ):
        assert asked.body == (night / name).read_bytes()
        headers = {key.lower(): value for key, value in asked.headers.items()}
        assert headers["content-type"] == kind
        assert headers["x-amz-content-sha256"] == hashlib.sha256(asked.body).hexdigest()
        assert headers["x-amz-security-token"] == "for-an-hour"
        signed = SIGNED.fullmatch(headers["authorization"])
        assert signed, headers["authorization"]
        assert {"host", "x-amz-date", "x-amz-content-sha256"} <= set(signed.group(1).split(";"))


def test_a_store_that_is_busy_is_asked_again(served, script, night):
    served.on("PUT", PULSE, script.reply(b"", 503), script.reply(b""))
    served.on("PUT", INDEX, script.reply(b""))
    ObjectStore("s3://results/team/nights", environment(served)).put(night)
    assert len(served.asked("PUT", PULSE)) == 2


def test_a_refusal_is_told_with_its_cause(served, script, night):
    denied = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>"
    served.on("PUT", PULSE, script.reply(denied, 403))
    with pytest.raises(PortError, match="refuses with 403") as told:
        ObjectStore("s3://results/team/nights", environment(served)).put(night)
    assert told.value.why == "Access Denied."
    assert told.value.where == "s3://results/team/nights/20270115-night/a run/pulse.bin"
    assert SECRET not in str(told.value)


def test_a_store_that_is_not_there_is_told(served, script, night):
    nobody = environment(served, AWS_ENDPOINT_URL_S3="http://user:pa55word@127.0.0.1:1")
    with pytest.raises(PortError, match="does not answer") as told:
        ObjectStore("s3://results", nobody).put(night)
    assert "pa55word" not in str(told.value)


@pytest.mark.parametrize("url", ["", "results", "http://results/x", "s3://", "s3://a b/x", "s3://user:secret@x/y"])
def test_what_is_no_place_is_refused_at_once(served, url):
    with pytest.raises(UsageError, match="no place in an object store") as told:
        ObjectStore(url, environment(served))
    assert "secret" not in str(told.value)


def test_who_writes_must_be_told(served):
    with pytest.raises(UsageError, match="is not told") as told:
        ObjectStore("s3://results", environment(served, AWS_SECRET_ACCESS_KEY=""))
    assert told.value.why == "AWS_SECRET_ACCESS_KEY not set"
    with pytest.raises(UsageError, match="AWS_ENDPOINT_URL='minio:9000' is no URL"):
        ObjectStore("s3://results", environment(served, AWS_ENDPOINT_URL="minio:9000"))
