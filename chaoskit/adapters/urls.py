"""What there is to know of an address before it is used: how it may be shown, and whether it stays on this machine."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_USERINFO = re.compile(r"(?<=://)(?:[^/?#@\s]*:(?!\d+[/?#])\S*@|[^/?#\s]+@)")
"""A password may hold what should have been encoded, an / or an @; what looks like a port and a path is none."""


def shown_url(url: str) -> str:
    """`url` without user and password: `https://user:secret@host/` becomes `https://…@host/`."""
    return _USERINFO.sub("…@", url)


def is_loopback(url: str) -> bool:
    """Whether it leads to this machine. Such requests go to no proxy, as with kubectl: a proxy would look at itself."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
