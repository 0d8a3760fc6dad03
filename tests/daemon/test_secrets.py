"""No secret that healer is given is ever found in its log, its state or its answers, whatever goes wrong."""

from __future__ import annotations

import hmac
import http.client
import json
import os
import signal
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from healer.authentication.signed_url import SignedUrl
from healer.client import NoDaemonError
from healer.demo.house import House, pid_of

OURS = "canary-that-senders-show"
KEY = "canary-that-signs-for-aodh"
THEIRS = "canary-that-is-shown-to-the-pager"
WITHIN_S = 40.0


ALARMS = """\
alarms:
  alertmanager: {auth: {bearer: {token_files: [ours]}}}
  grafana: {auth: {signature: {key_files: [key]}, basic: {user: grafana, password_file: ours}}}
  aodh: {auth: {signed_url: {key_files: [key]}, header: {name: X-Token, token_files: [ours]}}}
"""


class Secretive(House):
    """A daemon that logs all it can, takes alarms for a token, and tells a pager that does not answer."""

    def start(self) -> None:
        for name, token in (("ours", OURS), ("theirs", THEIRS), ("key", KEY)):
            (self.folder / name).write_text(token)
        config = self.folder / "config.yaml"
        config.write_text(
            config.read_text().replace(
                "{journal: {notifier: log}}",
                "{pager: {notifier: webhook, url: 'http://127.0.0.1:9/hook', token_file: theirs}}",
            )
            + ALARMS
            + "log: {level: debug, format: text}\n"
        )
        policy = self.folder / "policy.yaml"
        policy.write_text(policy.read_text().replace("  - {action: replace, timeout: 30s}\n", ""))
        super().start()


def wait(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        try:
            if found := condition():
                return found
        except NoDaemonError:
            pass  # It is not up yet.
        time.sleep(0.05)
    raise AssertionError(f"in vain waited for {what}")


@pytest.fixture
def house() -> Iterator[Secretive]:
    with Secretive() as opened:
        yield opened


def ask(port: int, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request(method, path, body, headers)
        with connection.getresponse() as answer:
            return answer.status, answer.read().decode()


def send(port: int, body: str, path: str = "/v1/alarms/alertmanager", **headers: str) -> int:
    return ask(port, "POST", path, body, **headers)[0]


def kinds(house: House) -> set[str]:
    return {entry["kind"] for entry in house.client.get("/v1/journal")["entries"]}


def test_secrets_are_nowhere_to_be_read(house: Secretive) -> None:
    web = wait(lambda: house.resources().get("web"), "the stack")
    port = house.client.get("/v1/status")["port"]
    alert = {
        "status": "firing",
        "labels": {"alertname": "Down", "stack": "shop", "resource": "web"},
        "startsAt": "2999-01-01T00:00:00Z",
        "fingerprint": "0f5cb11605ba9a4b",
    }
    taken = json.dumps({"version": "4", "alerts": [alert, alert | {"status": OURS[:6]}]})
    statuses = [
        send(port, taken, Authorization=f"Bearer {OURS}"),
        send(port, taken, Authorization=f"Bearer {OURS}x"),
        send(port, taken, Authorization=f"Token {OURS}"),
        send(port, "{", Authorization=f"Bearer {OURS}"),
        send(port, taken, f"/v1/alarms/alertmanager?token={OURS}"),
        send(port, taken, f"/v1/alarms/{OURS}"),
    ]
    assert statuses == [202, 401, 401, 400, 401, 404]
    signed = SignedUrl(key_files=(house.folder / "key",)).sign("/v1/alarms/aodh?stack=shop&resource=gone")
    signature = hmac.new(KEY.encode(), taken.encode(), "sha256").hexdigest()
    basic = b64encode(f"grafana:{OURS}".encode()).decode()
    state = json.dumps({"alarm_id": "1", "previous": "ok", "current": "alarm", "reason": "it is down"})
    statuses = [
        send(port, state, signed),
        send(port, state, f"{signed}&stack={OURS}"),
        send(port, state, "/v1/alarms/aodh", **{"X-Token": OURS}),
        send(port, taken, "/v1/alarms/grafana", **{"X-Grafana-Alerting-Signature": signature}),
        send(port, taken, "/v1/alarms/grafana", Authorization=f"Basic {basic}"),
        send(port, taken, "/v1/alarms/grafana", Authorization=f"Basic {basic}x"),
    ]
    assert statuses == [202, 401, 202, 202, 202, 401]
    os.kill(pid_of(web["physical_id"]), signal.SIGKILL)
    wait(lambda: "repair.stumbled" in kinds(house), "the pager to be called in vain")
    told = [
        json.dumps(house.client.get(f"/v1/{what}")) for what in ("journal", "alarms", "incidents", "status")
    ]
    told.append(ask(port, "GET", "/metrics")[1])
    log = house.log.read_text()
    # So that this can fail: what was sent is in the log, and so is that nobody could be told.
    for line in ("alarm.rejected", "alarm.matched", "repair.stumbled", "step.begun"):
        assert line in log
    kept = [path.read_bytes() for path in (house.folder / "state").rglob("*") if path.is_file()]
    for secret in (OURS, THEIRS, KEY, basic, signature, signed.rpartition("sig=")[2]):
        assert secret not in log
        assert not [text for text in told if secret in text]
        assert not [content for content in kept if secret.encode() in content]
