from __future__ import annotations

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.load import cpu_s, send, settled

BURN = "import threading\ndef burn():\n    import time\n    while time.process_time() < 0.5: pass\n"
IN_A_THREAD = BURN + "t = threading.Thread(target=burn); t.start(); t.join(); print('', flush=True); input()"


def test_the_cpu_of_threads_that_have_ended_is_counted() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", IN_A_THREAD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert cpu_s(process.pid) == pytest.approx(0.5, abs=0.25)
        assert settled(process.pid, lambda: True) >= 0.4
        process.communicate(b"\n")


def test_a_post_that_is_refused_is_no_measurement() -> None:
    class Refuses(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Nothing: the test's own words are enough."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, name=f"server of {os.getpid()}", daemon=True).start()
        try:
            with pytest.raises(RuntimeError, match="503"):
                send(server.server_port, "/", [b"[]"])
        finally:
            server.shutdown()
