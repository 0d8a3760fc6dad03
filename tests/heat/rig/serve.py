"""The real Heat, API and convergence engine, in one process: no broker, no Keystone, sqlite.

    python serve.py --port PORT --config-file heat.conf

Heat has had no `heat-all` since its release 25; this is what it was, over oslo.messaging's in-process transport.
What follows --port goes to Heat unchanged. It prints READY once it takes requests, and stops on SIGTERM.
"""

import argparse
import logging as stdlib_logging
import os
import signal
import socketserver
import threading
import time
import warnings

STARTED = time.monotonic()
warnings.simplefilter("ignore")  # Heat's own affair

from oslo_service import backend

backend.init_backend(backend.BackendType.THREADING)  # must come before anything of heat.engine is imported

from wsgiref import simple_server

import mends
import oslo_i18n
from oslo_config import cfg
from oslo_log import log as logging

LOG = stdlib_logging.getLogger("heat_rig")
GRACE_S = 1.0
"""Seconds that the engine may take to stop. It would wait for every action under way: tests do not."""


class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        # Not HTTPServer's, which asks the DNS for the name of this host.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]
        self.setup_environ()


class Handler(simple_server.WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        LOG.info(format, *args)

    def address_string(self) -> str:
        return self.client_address[0]


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--port", type=int, required=True)
    options, rest = parser.parse_known_args()

    oslo_i18n.enable_lazy()
    mends.before_import()
    from heat import version
    from heat.common import config, messaging
    from heat.db import migration
    from heat.engine import service, template
    from heat.rpc import api

    mends.after_import()
    configuration = cfg.CONF
    logging.register_options(configuration)
    configuration(rest, project="heat", prog="heat-rig", version=version.version_info.version_string())
    logging.setup(configuration, "heat-rig")
    logging.set_defaults()
    config.set_config_defaults()

    migration.db_sync(None)
    logging.setup(configuration, "heat-rig")  # alembic has set up its own
    messaging.setup("fake://")
    config.startup_sanity_check()
    template._get_template_extension_manager()  # loads the template formats before two threads do it at once

    engine = service.EngineService(configuration.host, api.ENGINE_TOPIC)
    engine.start()
    server = simple_server.make_server(
        "127.0.0.1", options.port, config.load_paste_app("heat-api"), server_class=Server, handler_class=Handler
    )
    threading.Thread(target=server.serve_forever, name="api", daemon=True).start()
    LOG.warning("READY in %.2f s, pid %d, port %d", time.monotonic() - STARTED, os.getpid(), options.port)

    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    asked.wait()
    server.shutdown()
    stopping = threading.Thread(target=engine.stop, daemon=True)
    stopping.start()
    stopping.join(GRACE_S)
    os._exit(0)  # not held up by the threads of what is under way


if __name__ == "__main__":
    main()
