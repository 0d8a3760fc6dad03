"""The real Aodh, API, evaluators and notifier, in one process: no broker, no Keystone of its own, sqlite.

    python serve.py DIRECTORY URL

DIRECTORY is for its database; at URL there is what Aodh asks: Keystone, Gnocchi, Octavia. It prints READY and its port
once it takes requests. Each line that it reads is a list of events, in JSON, as Ceilometer publishes them. It stops at
the end of what it reads.
"""

import json
import socketserver
import sys
import threading
import warnings
from pathlib import Path
from wsgiref import simple_server

warnings.simplefilter("ignore")  # Aodh's own affair

import oslo_messaging
from aodh import evaluator, event, keystone_client, messaging, notifier, service, storage
from aodh.api import app

CONF = """\
[DEFAULT]
transport_url = fake://
[api]
auth_mode = noauth
[database]
connection = sqlite:///{directory}/aodh.sqlite?timeout=30
[evaluator]
evaluation_interval = 1
[service_credentials]
auth_type = password
auth_url = {url}/v3
username = aodh
password = not-used
project_name = service
user_domain_id = default
project_domain_id = default
region_name = RegionOne
"""


class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # Not HTTPServer's, which asks the DNS for the name of this host.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]
        self.setup_environ()


class Handler(simple_server.WSGIRequestHandler):
    def address_string(self) -> str:
        return self.client_address[0]


def known(api, conf):
    """What keystonemiddleware would leave there of whoever asks, who is Aodh itself here: it creates trusts with it."""
    auth = keystone_client.get_session(conf).auth

    def asked(environ, start_response):
        environ["keystone.token_auth"] = auth
        return api(environ, start_response)

    return asked


def main() -> None:
    directory, url = Path(sys.argv[1]), sys.argv[2]
    file = directory / "aodh.conf"
    file.write_text(CONF.format(directory=directory, url=url))
    conf = service.prepare_service(argv=[], config_files=[str(file)], with_gmr=False)
    storage.get_connection_from_config(conf).upgrade()
    server = simple_server.make_server("127.0.0.1", 0, known(app.load_app(conf), conf), Server, Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    services = [
        notifier.AlarmNotifierService(0, conf),
        event.EventAlarmEvaluationService(0, conf),
        evaluator.AlarmEvaluationService(0, conf),
    ]
    publisher = oslo_messaging.Notifier(
        messaging.get_transport(conf),
        driver="messagingv2",
        publisher_id="telemetry.publisher",
        topics=[conf.listener.event_alarm_topic],
    )
    print(f"READY {server.server_port}", flush=True)
    for line in sys.stdin:
        publisher.sample({}, "event", json.loads(line))
    for each in reversed(services):
        each.terminate()
    server.shutdown()


if __name__ == "__main__":
    main()
