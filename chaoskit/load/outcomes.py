"""From the error that ended a request to its Outcome: one table for both load processes."""

from __future__ import annotations

import errno
import socket

from chaoskit.samples import Outcome

_BY_ERRNO = {
    errno.ECONNREFUSED: Outcome.REFUSED,
    errno.ECONNRESET: Outcome.RESET,
    errno.ECONNABORTED: Outcome.RESET,
    errno.EPIPE: Outcome.RESET,
    errno.ETIMEDOUT: Outcome.TIMEOUT,
    errno.EHOSTUNREACH: Outcome.UNREACHABLE,
    errno.ENETUNREACH: Outcome.UNREACHABLE,
    errno.EHOSTDOWN: Outcome.UNREACHABLE,
    errno.ENETDOWN: Outcome.UNREACHABLE,
    # The sender ran out of something of its own (descriptors, local ports, memory): this says nothing of the service.
    errno.EMFILE: Outcome.NOT_SENT,
    errno.ENFILE: Outcome.NOT_SENT,
    errno.EADDRNOTAVAIL: Outcome.NOT_SENT,
    errno.ENOBUFS: Outcome.NOT_SENT,
    errno.ENOMEM: Outcome.NOT_SENT,
}


def of_os_error(error: OSError) -> Outcome:
    """How a request ended that failed with an error of the operating system or the resolver."""
    if isinstance(error, socket.gaierror):
        return Outcome.DNS
    if isinstance(error, ConnectionRefusedError):
        return Outcome.REFUSED
    if isinstance(error, ConnectionError):
        return Outcome.RESET
    if isinstance(error, TimeoutError):
        return Outcome.TIMEOUT
    return _BY_ERRNO.get(error.errno or 0, Outcome.OTHER)


def of_status(status: int) -> Outcome:
    return Outcome.OK if status < 400 else Outcome.HTTP_ERROR
