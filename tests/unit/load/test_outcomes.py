from __future__ import annotations

import errno
import socket

import pytest

from chaoskit.load.outcomes import of_os_error
from chaoskit.samples import Outcome


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), Outcome.REFUSED),
        (ConnectionResetError("closed"), Outcome.RESET),
        (BrokenPipeError(errno.EPIPE, "pipe"), Outcome.RESET),
        (TimeoutError(), Outcome.TIMEOUT),
        (OSError(errno.ETIMEDOUT, "timed out"), Outcome.TIMEOUT),
        (OSError(errno.EHOSTUNREACH, "no route"), Outcome.UNREACHABLE),
        (OSError(errno.ENETUNREACH, "no network"), Outcome.UNREACHABLE),
        (socket.gaierror(socket.EAI_NONAME, "no such name"), Outcome.DNS),
        (OSError(errno.EMFILE, "too many open files"), Outcome.NOT_SENT),
        (OSError(errno.EADDRNOTAVAIL, "no port left"), Outcome.NOT_SENT),
        (OSError("something else"), Outcome.OTHER),
    ],
)
def test_names_the_outcome_of_an_error(error, outcome):
    assert of_os_error(error) is outcome
