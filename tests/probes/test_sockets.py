from __future__ import annotations

import errno

import pytest

from healer.core.model import Health, Symptom
from healer.probes._sockets import failed


@pytest.mark.parametrize(
    ("error", "symptom"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), Symptom.REFUSED),
        (ConnectionResetError(errno.ECONNRESET, "x"), Symptom.CONNECTION_LOST),
        (BrokenPipeError(errno.EPIPE, "x"), Symptom.CONNECTION_LOST),
        (ConnectionResetError("cannot write to closing transport"), Symptom.CONNECTION_LOST),
        (TimeoutError(errno.ETIMEDOUT, "x"), Symptom.TIMED_OUT),
        (OSError(errno.EHOSTUNREACH, "x"), Symptom.TIMED_OUT),
    ],
)
def test_what_the_other_end_did_or_failed_to_do_is_unhealthy(error: OSError, symptom: Symptom) -> None:
    sight = failed(error, "web port 80")
    assert (sight.health, sight.symptom) == (Health.UNHEALTHY, symptom)
    assert sight.detail.startswith("web port 80: ")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, "x"),
        OSError(errno.ENFILE, "x"),
        OSError(errno.ENOBUFS, "x"),
        OSError(errno.EADDRNOTAVAIL, "x"),
        OSError(errno.ENETUNREACH, "x"),
        OSError(errno.ENETDOWN, "x"),
        PermissionError(errno.EPERM, "x"),
        OSError("Multiple exceptions: this and that"),
        OSError(),
    ],
)
def test_what_this_machine_could_not_do_is_unknown(error: OSError) -> None:
    sight = failed(error, "web port 80")
    assert (sight.health, sight.symptom) == (Health.UNKNOWN, Symptom.PROBE_BROKEN)
    assert sight.detail.startswith("web port 80: this machine cannot look: ")
    assert not sight.detail.endswith(": ")
