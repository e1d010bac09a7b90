"""Copies a finished run's folder, or a batch's, into a bucket of an object store that speaks S3.

Where the store is and who may write are told by the variables that every tool for it reads: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, and for stores other than AWS' AWS_ENDPOINT_URL.
"""

from __future__ import annotations

import mimetypes
import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from chaoskit.adapters.urls import is_loopback, shown_url
from chaoskit.errors import PortError, UsageError

TIMEOUT_S = (5.0, 60.0)
"""For connecting, and between two pieces of an answer."""
AGAIN = Retry(total=3, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504), allowed_methods=("PUT",))
DEFAULT_REGION = "us-east-1"
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")


class ObjectStore:
    def __init__(self, url: str, environment: Mapping[str, str] = os.environ) -> None:
        """`s3://BUCKET/PREFIX`. UsageError for what is none, or where the environment does not say who may write."""
        parts = urlsplit(url.strip())
        if parts.scheme != "s3" or not re.fullmatch(r"[\w.-]+", parts.netloc) or parts.query or parts.fragment:
            raise UsageError(
                f"{shown_url(url)!r} is no place in an object store", fix="write it as in s3://BUCKET/nights"
            )
        missing = [n for n in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") if not environment.get(n)]
        if missing:
            raise UsageError(
                "who writes to the object store is not told", why=f"{' and '.join(missing)} not set", fix="export them"
            )
        self._bucket, self._prefix = parts.netloc, parts.path.strip("/")
        self._base = _base(self._bucket, environment)
        self._session = _session(environment, self._base)

    def put(self, folder: Path) -> str:
        """Copies all of a folder, under its own name; returns where it is. PortError if the store does not take it."""
        place = "/".join(filter(None, (self._prefix, folder.resolve().name)))
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            self._put(f"{place}/{path.relative_to(folder).as_posix()}", path)
        return f"s3://{self._bucket}/{place}"

    def _put(self, key: str, path: Path) -> None:
        where = f"s3://{self._bucket}/{key}"
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        try:
            data = path.read_bytes()
            url = f"{self._base}/{quote(key)}"
            answer = self._session.put(url, data=data, headers={"Content-Type": kind}, timeout=TIMEOUT_S)
        except OSError as error:  # All errors of requests are.
            why = shown_url(str(error))
            raise PortError("the object store does not answer", where=where, why=why) from error
        if not answer.ok:
            said = _MESSAGE.search(answer.text)
            why = said.group(1) if said else answer.reason
            raise PortError(f"the object store refuses with {answer.status_code}", where=where, why=why)


def _base(bucket: str, environment: Mapping[str, str]) -> str:
    """The bucket's address: in the path where a store of one's own is named, in the host's name at AWS."""
    own = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    if not own:
        return f"https://{bucket}.s3.{_region(environment)}.amazonaws.com"
    parts = urlsplit(own)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"AWS_ENDPOINT_URL={shown_url(own)!r} is no URL", fix="write it as in http://minio.storage:9000"
        )
    return f"{own.rstrip('/')}/{bucket}"


def _session(environment: Mapping[str, str], base: str) -> requests.Session:
    from requests_aws4auth import AWS4Auth

    session = requests.Session()
    session.auth = AWS4Auth(
        environment["AWS_ACCESS_KEY_ID"],
        environment["AWS_SECRET_ACCESS_KEY"],
        _region(environment),
        "s3",
        session_token=environment.get("AWS_SESSION_TOKEN") or None,
    )
    session.trust_env = not is_loopback(base)  # No proxy, and no ~/.netrc, which would take the place of the signature.
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=AGAIN))
    return session


def _region(environment: Mapping[str, str]) -> str:
    return environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or DEFAULT_REGION
