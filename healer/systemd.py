"""What the service manager is told: ready, stopping, and that the daemon still lives."""

from __future__ import annotations

import os
import socket
from datetime import timedelta

import structlog

log = structlog.get_logger("healer")


def notify(*lines: str) -> bool:
    """Send to the socket that systemd named; False where none did, or where it does not take it, which is logged."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # A socket in the abstract namespace.
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(1.0)
            channel.connect(address)
            channel.sendall("\n".join(lines).encode())
    except OSError as error:
        # A service manager that is being replaced must not end what it manages.
        log.warning("systemd.deaf", why=str(error), unheard=lines)
        return False
    return True


def watchdog_interval() -> timedelta | None:
    """How often to say WATCHDOG=1: a third of what systemd waits; None where it does not watch this process."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return timedelta(microseconds=int(microseconds)) / 3 if microseconds.isdecimal() else None
