"""CPU per alert, from the socket to the stored and de-duplicated alarm, beside Alertmanager, which keeps nothing."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from benchmarks.load import send, settled
from benchmarks.results import Result
from healer.client import Client, NoDaemonError
from healer.clock import BootClock

ROUNDS = 3
WITHIN_S = 30.0
PEER = "prometheus-alertmanager"
CASES = ((100, 10_000, 4.0), (1, 5_000, 1.1))
"""Alerts in each post; alerts in a round; how many times less CPU per alert it must be."""

STACK = """\
heat_template_version: "2021-04-16"
resources:
  idle: {type: OS::Heat::Value, properties: {value: nothing}}
"""
CONFIG = """\
version: 1
installation: benchmark
state: {directory: state}
clouds: {here: {engine: local, refresh: 10m, stacks: {idle: idle.yaml}}}
policies: []
listen: {address: 127.0.0.1, port: 0}
api: {socket: api.sock}
alarms: {prometheus: {}}
"""
ROUTE = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}


@dataclass
class Taker:
    """One server that takes alerts: both are sent the very same bytes."""

    pid: int
    port: int
    path: str
    state: Path | None = None
    """Where it keeps what it has taken; None where it does not."""
    sent: int = 0
    costs: dict[int, list[float]] = field(default_factory=dict)
    """Alerts in each post → µs of CPU per alert, one a round."""

    def take(self, alerts: list[dict[str, object]], in_each: int) -> None:
        bodies = [
            json.dumps(alerts[at : at + in_each], separators=(",", ":")).encode()
            for at in range(0, len(alerts), in_each)
        ]
        before = settled(self.pid, self.is_done)
        send(self.port, self.path, bodies)
        self.sent += len(alerts)
        cost = settled(self.pid, self.is_done) - before
        self.costs.setdefault(in_each, []).append(cost * 1e6 / len(alerts))

    def is_done(self) -> bool:
        """All that was sent is stored, each once, and it is known what became of it."""
        if self.state is None:
            return True
        with closing(sqlite3.connect(f"file:{self.state}?mode=ro", uri=True)) as store:
            (kept,) = store.execute("SELECT coalesce(sum(alarms), 0) FROM settlements").fetchone()
        return bool(kept == self.sent)


def measure() -> Iterator[Result]:
    if shutil.which(PEER) is None:
        raise SystemExit(f"the peer is not here; as root: apt-get install --no-install-recommends {PEER}")
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="healer-benchmark-")))
        ours, peer = exits.enter_context(healer(folder)), exits.enter_context(alertmanager(folder))
        for in_each, alerts, target in CASES:
            for one in range(ROUNDS + 1):
                posted = [alert(f"{in_each}-{one}-{number}") for number in range(alerts)]
                for taker in (ours, peer):
                    taker.take(posted, in_each)
            # The first round warms both up.
            yield Result(
                f"taking alerts in, {in_each} per post",
                "us of CPU per alert",
                tuple(ours.costs[in_each][1:]),
                "Alertmanager",
                tuple(peer.costs[in_each][1:]),
                target,
            )


def alert(name: str) -> dict[str, object]:
    """As Prometheus posts it; about a thing that nobody declared, so that nothing has to be healed."""
    now = BootClock().now()
    return {
        "labels": {
            "alertname": "ResourceUnhealthy",
            "cloud": "lab",
            "instance": f"{name}.example.org:9110",
            "job": "shop",
            "prometheus_replica": "a",
            "region": "lab-1",
            "resource": f"server-{name}",
            "resource_type": "OS::Nova::Server",
            "severity": "critical",
            "stack": "production-web",
        },
        "annotations": {
            "description": "It has not answered its health check for longer than two minutes, three times running.",
            "runbook_url": "https://example.org/runbooks/resource-unhealthy",
            "summary": f"server-{name} of the stack production-web is unhealthy",
        },
        "startsAt": now.isoformat(timespec="milliseconds"),
        "endsAt": (now + timedelta(hours=4)).isoformat(timespec="milliseconds"),
        "generatorURL": "http://prometheus.example.org:9090/graph?g0.expr=healthy+%3D%3D+0&g0.tab=1",
    }


@contextmanager
def healer(folder: Path) -> Iterator[Taker]:
    """The daemon as a person starts it, with the embedded engine."""
    for name, text in (("idle.yaml", STACK), ("config.yaml", CONFIG)):
        (folder / name).write_text(text)
    client = Client(folder / "api.sock")

    def port() -> int | None:
        try:
            return int(client.get("/v1/status")["port"])
        except NoDaemonError:
            return None

    command = [sys.executable, "-m", "healer", "run", "--config", str(folder / "config.yaml")]
    with _running(command, folder / "healer.log") as process:
        found = _until(port, process, folder / "healer.log")
        yield Taker(process.pid, found, "/alertmanager/api/v2/alerts", folder / "state" / "state.sqlite")


@contextmanager
def alertmanager(folder: Path) -> Iterator[Taker]:
    (folder / "route.yml").write_text(json.dumps(ROUTE))
    log = folder / "alertmanager.log"

    def port() -> int | None:
        found = re.search(r'msg="Listening on".* address=127\.0\.0\.1:(\d+)', log.read_text())
        return int(found[1]) if found else None

    options = ("--cluster.listen-address=", "--web.listen-address=127.0.0.1:0")
    files = (f"--config.file={folder / 'route.yml'}", f"--storage.path={folder / 'alertmanager'}")
    with _running([PEER, *files, *options], log) as process:
        yield Taker(process.pid, _until(port, process, log), "/api/v2/alerts")


@contextmanager
def _running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)  # noqa: S603 - as named above
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until(look: Callable[[], int | None], process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        if found := look():
            return found
        time.sleep(0.1)
    raise SystemExit(f"it did not start:\n{log.read_text()}")
