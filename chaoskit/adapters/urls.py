"""Addresses as they may be shown: without the password that some people write into them."""

from __future__ import annotations

import re

_USERINFO = re.compile(r"(?<=://)[^/?#@\s]*:[^/?#\s]*@|(?<=://)[^/?#@\s]+@")


def shown_url(url: str) -> str:
    """`url` without user and password: `https://user:secret@host/` becomes `https://…@host/`."""
    return _USERINFO.sub("…@", url)
