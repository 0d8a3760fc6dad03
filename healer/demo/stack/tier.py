"""One tier of an application: an HTTP server that finds the tier below it through its wires.

Started with PORT, ADDRESS and WIRES (a JSON file, read again on SIGHUP) in its environment; its first argument is
its name. Raw sockets: http.server alone takes longer to import than this takes to answer.

    GET /         200 with what it is and what those answered that a wire leads to; 502 where one does not
    GET /healthz  200, and does not look below
    POST /status  from now on every GET is answered with the status in the body, until it is 200 again
"""

from __future__ import annotations

import _thread
import json
import os
import signal
import socket
import sys

NAME = sys.argv[1]
PATIENCE_S = 2.0
"""Seconds that the tier below has to answer."""


class Tier:
    """What this one knows. A change is one assignment, so that threads need no lock."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.wires: dict[str, object] = {}
        self.status = 200

    def read_wires(self, *_: object) -> None:
        with open(self.path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib takes long to import
            self.wires = json.load(file)

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, object]:
        if method == "POST" and path == "/status":
            self.status = int(body)
            return 204, None
        if self.status != 200:
            return self.status, {"error": "told to fail"}
        mine: dict[str, object] = {"name": NAME, "pid": os.getpid(), "wires": self.wires}
        if path == "/healthz":
            return 200, mine
        try:
            below = {name: get(where) for name, where in self.wires.items() if is_address(where)}
        except OSError as error:
            return 502, mine | {"error": str(error)}
        return 200, mine | {"below": below}


def is_address(where: object) -> bool:
    """Whether a wire is `address:port`; any other is only shown."""
    return isinstance(where, str) and where.rpartition(":")[2].isdigit()


def get(where: object) -> object:
    """What the tier at `address:port` answers; OSError where it does not, or not with 200."""
    address, _, port = str(where).rpartition(":")
    with socket.create_connection((address, int(port)), PATIENCE_S) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        head, body = read(connection)
    if head.split()[1] != b"200":
        raise OSError(f"{where} answered {head.split()[1].decode()}: {body.decode()}")
    answer: object = json.loads(body)
    return answer


def read(connection: socket.socket) -> tuple[bytes, bytes]:
    """Head and body of a message; without a content-length it has no body."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += receive(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            while len(body) < int(line.partition(b":")[2]):
                body += receive(connection)
    return head, body


def receive(connection: socket.socket) -> bytes:
    chunk = connection.recv(65536)
    if not chunk:
        raise ConnectionError("closed in the middle of a message")
    return chunk


def serve(tier: Tier, connection: socket.socket) -> None:
    with connection:
        connection.settimeout(PATIENCE_S * 5)
        try:
            head, body = read(connection)
            method, path, _ = head.split(b"\r\n")[0].decode().split()
            status, answer = tier.answer(method, path, body)
            text = b"" if answer is None else json.dumps(answer).encode()
            kind = "content-type: application/json\r\nconnection: close"
            answered = f"HTTP/1.1 {status} -\r\n{kind}\r\ncontent-length: {len(text)}\r\n\r\n"
            connection.sendall(answered.encode() + text)
        except (OSError, ValueError) as error:
            sys.stderr.write(f"{NAME}: {error}\n")


def main() -> None:
    tier = Tier(os.environ["WIRES"])
    # The handler first: a change between the two is then seen by the one or the other.
    signal.signal(signal.SIGHUP, tier.read_wires)
    tier.read_wires()
    with socket.create_server((os.environ["ADDRESS"], int(os.environ["PORT"])), backlog=64) as server:
        while True:
            connection, _ = server.accept()
            _thread.start_new_thread(serve, (tier, connection))


if __name__ == "__main__":
    main()
