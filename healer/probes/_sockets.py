"""What an error of a socket says of the thing at the other end, and what it says only of this machine."""

from __future__ import annotations

import os
from errno import (
    ECONNABORTED,
    ECONNREFUSED,
    ECONNRESET,
    EHOSTDOWN,
    EHOSTUNREACH,
    ENOTCONN,
    EPIPE,
    ESHUTDOWN,
    ETIMEDOUT,
)

from healer.core.model import Health, Symptom
from healer.ports import Sight

_OF_THE_OTHER_END = {
    ECONNREFUSED: Symptom.REFUSED,
    ECONNRESET: Symptom.CONNECTION_LOST,
    ECONNABORTED: Symptom.CONNECTION_LOST,
    ENOTCONN: Symptom.CONNECTION_LOST,
    EPIPE: Symptom.CONNECTION_LOST,
    ESHUTDOWN: Symptom.CONNECTION_LOST,
    ETIMEDOUT: Symptom.TIMED_OUT,
    # Nobody answered the question who has this address: so looks a dead machine of one's own network.
    EHOSTDOWN: Symptom.TIMED_OUT,
    EHOSTUNREACH: Symptom.TIMED_OUT,
}


def failed(error: OSError, where: str) -> Sight:
    """Too few descriptors, no free port, no route, a local firewall: then this machine could not look: unknown."""
    why = os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
    symptom = _OF_THE_OTHER_END.get(error.errno or 0)
    if not error.errno and isinstance(error, ConnectionError):  # raised by a library, not by the kernel
        symptom = Symptom.CONNECTION_LOST
    if symptom:
        return Sight(Health.UNHEALTHY, symptom, f"{where}: {why}")
    return Sight(Health.UNKNOWN, Symptom.PROBE_BROKEN, f"{where}: this machine cannot look: {why}")
