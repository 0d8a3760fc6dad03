"""What the service manager is told: ready, stopping, and that the daemon still lives."""

from __future__ import annotations

import os
import socket
from datetime import timedelta


def notify(*lines: str) -> bool:
    """Send to the socket that systemd named; False where none did. Raises OSError if it does not take it."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # A socket in the abstract namespace.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.connect(address)
        channel.sendall("\n".join(lines).encode())
    return True


def watchdog_interval() -> timedelta | None:
    """How often to say WATCHDOG=1: a third of what systemd waits; None where it does not watch this process."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = int(os.environ.get("WATCHDOG_USEC") or 0)
    return timedelta(microseconds=microseconds) / 3 if microseconds else None
