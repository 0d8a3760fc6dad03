"""Sends posts over kept connections, and reads what a process has cost."""

from __future__ import annotations

import os
import re
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import cast

TICK = os.sysconf("SC_CLK_TCK")
CONNECTIONS = 64
QUIET_FOR = 1.0
"""Seconds in which a process that has nothing left to do uses next to no CPU."""
QUIET = 0.03
"""Of one core."""
QUIET_WITHIN = 120.0
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def cpu_s(pid: int) -> float:
    """Seconds of CPU, user and system, of all threads of this process, those that have ended too."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def settled(pid: int, done: Callable[[], bool]) -> float:
    """The process' CPU, in seconds, once all is done and it is quiet. TimeoutError where it never is."""
    deadline = time.monotonic() + QUIET_WITHIN
    before = cpu_s(pid)
    while time.monotonic() < deadline:
        time.sleep(QUIET_FOR)
        now = cpu_s(pid)
        if now - before <= QUIET * QUIET_FOR and done():
            return now
        before = now
    raise TimeoutError(f"process {pid} is still at work after {QUIET_WITHIN:.0f} s")


def send(port: int, path: str, bodies: Sequence[bytes]) -> None:
    """Post all of them, 64 at once; RuntimeError where one is not taken.

    Without asyncio: a sender that is slower than the server would keep it from ever having many to serve at once.
    """
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    waiting = iter(bodies)
    with selectors.DefaultSelector() as selector, ExitStack() as connections:
        for body in islice(waiting, CONNECTIONS):
            connection = connections.enter_context(socket.create_connection(("127.0.0.1", port)))
            selector.register(connection, selectors.EVENT_READ, bytearray())
            connection.sendall(_request(head, body))
        while selector.get_map():
            for key, _ in selector.select():
                connection = cast("socket.socket", key.fileobj)
                answer: bytearray = key.data
                answer += connection.recv(65536) or _ended(path)
                if not _is_whole(answer):
                    continue
                if not answer.startswith(b"HTTP/1.1 2"):
                    raise RuntimeError(f"{path}: {answer.decode(errors='replace')}")
                answer.clear()
                if (more := next(waiting, None)) is None:
                    selector.unregister(connection)
                else:
                    connection.sendall(_request(head, more))


def _request(head: str, body: bytes) -> bytes:
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _is_whole(answer: bytearray) -> bool:
    head, found, rest = answer.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return bool(found) and len(rest) >= (int(length[1]) if length else 0)


def _ended(path: str) -> bytes:
    raise RuntimeError(f"{path}: the connection ended before there was an answer")
