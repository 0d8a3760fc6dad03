"""One tier of an application: an HTTP server that finds the tier below it through its wires.

Started with PORT, ADDRESS and WIRES (a JSON file, read again on SIGHUP) in its environment; its only argument is
its name. Raw sockets: http.server alone would take longer to import than this takes to answer.

    GET /         200 with what it is and what the tier below it answered; 502 where that one does not
    GET /healthz  200, and does not look below
    POST /status  from now on every GET is answered with the status in the body, until it is 200 again
"""

import _thread
import json
import os
import signal
import socket
import sys

NAME = sys.argv[1]
WIRES = os.environ["WIRES"]
PATIENCE_S = 2.0
"""Seconds that the tier below has to answer."""


class Tier:
    """What this one knows; a change is one assignment, so that threads need no lock."""

    wires = {}
    forced = 200

    def read_wires(self, *_):
        with open(WIRES) as file:
            self.wires = json.load(file)

    def answer(self, method, path, body):
        if method == "POST" and path == "/status":
            self.forced = int(body)
            return 204, None
        if self.forced != 200:
            return self.forced, {"error": "told to fail"}
        mine = {"name": NAME, "pid": os.getpid(), "wires": self.wires}
        if path == "/healthz" or not self.wires:
            return 200, mine
        try:
            mine["below"] = {name: get(where) for name, where in self.wires.items()}
        except OSError as error:
            return 502, mine | {"error": str(error)}
        return 200, mine


def get(where):
    """What the tier at `address:port` answers; OSError where it does not, or not with 200."""
    address, _, port = where.rpartition(":")
    with socket.create_connection((address, int(port)), PATIENCE_S) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        head, body = read(connection)
    if head.split()[1] != b"200":
        raise OSError(f"{where} answered {head.split()[1].decode()}: {body.decode()}")
    return json.loads(body)


def read(connection):
    """Head and body of a message, whose length its head tells, or else where it ends."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += receive(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            while len(body) < int(line.partition(b":")[2]):
                body += receive(connection)
    return head, body


def receive(connection):
    chunk = connection.recv(65536)
    if not chunk:
        raise ConnectionError("closed in the middle of a message")
    return chunk


def serve(tier, connection):
    with connection:
        connection.settimeout(PATIENCE_S * 5)
        try:
            head, body = read(connection)
            method, path, _ = head.split(b"\r\n")[0].decode().split()
            status, answer = tier.answer(method, path, body)
            text = b"" if answer is None else json.dumps(answer).encode()
            head = f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n"
            connection.sendall(head.encode() + b"connection: close\r\n\r\n" + text)
        except (OSError, ValueError) as error:
            print(f"{NAME}: {error}", file=sys.stderr, flush=True)


def main():
    tier = Tier()
    # The handler first: a change between the two is then seen by the one or the other.
    signal.signal(signal.SIGHUP, tier.read_wires)
    tier.read_wires()
    with socket.create_server((os.environ["ADDRESS"], int(os.environ["PORT"])), backlog=64) as server:
        while True:
            connection, _ = server.accept()
            _thread.start_new_thread(serve, (tier, connection))


if __name__ == "__main__":
    main()
