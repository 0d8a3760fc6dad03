"""Serves Zaqar's API with its own configuration on a port of its own, and a clock that a test may put forward.

    python serve.py DIRECTORY REDIS_SOCKET

It prints `READY <port>`, and ends when its standard input does. `PUT /rig/ahead/61` puts Zaqar's clock forward by
61 seconds: the shortest claim is of a minute, which no test waits for.
"""

from __future__ import annotations

import os
import re
import socketserver
import sys
import threading
from typing import Any
from wsgiref import simple_server

from oslo_config import cfg
from oslo_log import log
from oslo_utils import timeutils

CONFIGURATION = """
[DEFAULT]
auth_strategy =
use_stderr = True
log_file =
[drivers]
transport = wsgi
message_store = redis
management_store = redis
[drivers:message_store:redis]
uri = redis://{redis}?socket_timeout=5
[drivers:management_store:redis]
uri = redis://{redis}?socket_timeout=5
[storage]
message_pipeline = zaqar.notification.notifier
[notification]
require_confirmation = True
[signed_url]
secret_key = what the rig signs with
[transport]
message_encryption_key = what the rig encrypts with
"""


class Clock:
    """What `timeutils.utcnow_ts` says in this process; all that Zaqar knows of time but for signatures."""

    def __init__(self) -> None:
        self.ahead = 0
        self._real = timeutils.utcnow_ts
        timeutils.utcnow_ts = self

    def __call__(self, microsecond: bool = False) -> float:
        now: float = self._real(microsecond)
        return now + self.ahead


class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    daemon_threads = True


class Handler(simple_server.WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        print(format % args, file=sys.stderr, flush=True)


def main() -> None:
    directory, redis = sys.argv[1:]
    clock = Clock()
    from zaqar import bootstrap  # after the clock, whoever takes it by name

    path = os.path.join(directory, "zaqar.conf")
    with open(path, "w") as file:
        file.write(CONFIGURATION.format(redis=redis))
    conf = cfg.CONF
    log.register_options(conf)
    conf(["--config-file", path], project="zaqar", prog="zaqar-server")
    log.setup(conf, "zaqar")
    app = bootstrap.Bootstrap(conf).transport.app

    def with_a_clock(environ: dict[str, Any], start_response: Any) -> Any:
        put = re.fullmatch(r"/rig/ahead/(\d+)", environ["PATH_INFO"])
        if put is None:
            # What keystonemiddleware would do, whose every token here is the id of its project.
            if "HTTP_X_AUTH_TOKEN" in environ:
                environ["HTTP_X_PROJECT_ID"] = environ["HTTP_X_AUTH_TOKEN"]
            return app(environ, start_response)
        clock.ahead += int(put[1])
        start_response("204 No Content", [])
        return []

    server = simple_server.make_server("127.0.0.1", 0, with_a_clock, Server, Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("READY", server.server_port, flush=True)
    sys.stdin.read()
    os._exit(0)  # what is to be sent again waits in threads that nothing ends


if __name__ == "__main__":
    main()
