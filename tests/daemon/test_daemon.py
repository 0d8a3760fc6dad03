"""`healer run` as systemd starts it: what it tells the manager, how it ends, and with what it does not start."""

from __future__ import annotations

import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.houses import Empty, Hasty, kill, until

FIRING = (Path(__file__).parents[1] / "payloads" / "alertmanager-0.33.1-firing.json").read_text()
CREDENTIALS = 12
"""Bytes of what the kernel says of a sender: pid, uid, gid."""


class ServiceManager:
    """The socket that systemd would have; each message with the pid of its sender, which the kernel vouches for."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(str(path))
        self._socket.settimeout(20)

    def close(self) -> None:
        self._socket.close()

    def hear(self) -> tuple[str, int]:
        """The next message's first line, and who sent it."""
        text, ancillary, _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(CREDENTIALS))
        (credentials,) = [data for _, kind, data in ancillary if kind == socket.SCM_CREDENTIALS]
        return text.decode().splitlines()[0], int.from_bytes(credentials[:4], sys.byteorder)

    def hear_until(self, wanted: str) -> list[tuple[str, int]]:
        heard = [self.hear()]
        while heard[-1][0] != wanted:
            heard.append(self.hear())
        return heard


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceManager]:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    with closing(ServiceManager(tmp_path / "n")) as made:
        yield made


def test_the_service_manager_hears_when_it_is_ready_that_it_lives_and_when_it_stops(
    manager: ServiceManager,
) -> None:
    with Hasty() as house:
        heard = manager.hear_until("READY=1")
        assert set(heard) <= {("READY=1", house.pid), ("WATCHDOG=1", house.pid)}
        assert [manager.hear() for _ in range(3)] == [("WATCHDOG=1", house.pid)] * 3
        os.kill(house.pid, signal.SIGTERM)
        assert manager.hear_until("STOPPING=1")[-1] == ("STOPPING=1", house.pid)
        assert ended(house) == 0


def ended(house: Hasty) -> int:
    """Waits for its end, which systemd would not do for longer than 45 s; its exit code."""
    until(lambda: house.died, "the daemon to end")
    code = house.exit_code
    assert code is not None
    return code


def lines(house: Hasty) -> list[dict[str, Any]]:
    return [json.loads(line) for line in house.log.read_text().splitlines()]


@pytest.fixture(scope="module")
def house() -> Iterator[Hasty]:
    """A daemon that is to outlive whatever is tried beside it."""
    with Hasty() as running:
        yield running
        os.kill(running.pid, signal.SIGINT)
        assert ended(running) == 0
        assert lines(running)[-1]["event"] == "healer.stopping"


def test_its_log_is_json_where_it_is_not_read_by_a_person(house: Hasty) -> None:
    until(lambda: "healer.ready" in [line["event"] for line in lines(house)], "the word that it is ready")
    assert all({"level", "timestamp"} <= set(line) for line in lines(house))


SLOW = {
    "resources": {
        "books": {
            "type": "OS::Heat::TestResource",
            "properties": {"value": {"get_attr": ["db", "port"]}, "action_wait_secs": {"update": 3}},
        }
    }
}
"""Refers to db, so that an update which replaces db takes three seconds more."""


def test_what_is_under_way_when_it_is_stopped_is_finished_by_the_next_one_and_not_begun_again() -> None:
    with Hasty(shop=SLOW) as house:
        before = until(house.healthy_processes, "all to be healthy")
        kill(before["db"])
        until(lambda: at_step(house, "follow"), "the update to begin")
        os.kill(house.pid, signal.SIGTERM)
        assert ended(house) == 0
        house.start()
        assert at_step(house, "follow"), "the repair was lost"
        until(lambda: not house.client.get("/v1/incidents", open=1)["incidents"], "all to be healed")
        of_db = [one for one in house.client.get("/v1/incidents")["incidents"] if one["resource"] == "db"]
        assert [one["outcome"] for one in of_db] == ["healed"]
        story = house.client.get(f"/v1/incidents/{of_db[0]['id']}")["story"]
        steps = [entry["body"]["note"]["step"] for entry in story if entry["kind"] == "repair.stepped"]
        assert steps == ["mark", "preview", "converge", "follow", "prove"]
        assert len(list(house.tiers())) == len(before) == 3


def at_step(house: Hasty, step: str) -> bool:
    return any(one["step"] == step for one in house.client.get("/v1/repairs")["repairs"])


# What it does not start with: exit code 2, which systemd does not start again.


def refused(house: Hasty) -> str:
    """Runs it in the foreground; it must end with 2. All that it says."""
    done = subprocess.run(
        house.command, capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_mistake_is_named_with_its_file_line_and_key() -> None:
    with Empty() as house:
        file = house.folder / "config.yaml"
        text = file.read_text().replace("installation: demo", "instalation: demo")
        file.write_text(text)
        line = text.splitlines().index("instalation: demo") + 1
        said = refused(house)
        assert f"{file}:{line}: instalation: is no key here; did you mean 'installation'?" in said
        assert not (house.folder / "state").exists()


def test_a_second_daemon_on_the_same_state_names_the_first_which_goes_on(house: Hasty) -> None:
    assert f"is in use by another healer, process {house.pid}: stop that one" in refused(house)
    assert house.client.get("/v1/status")["pid"] == house.pid


def test_a_state_directory_that_cannot_be_written_is_named() -> None:
    with Empty(config={"state": {"directory": "tier.py/state"}}) as house:
        assert f"{house.folder}/tier.py/state" in refused(house)


def test_a_port_that_another_has_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with Empty(config={"listen": {"port": port}}) as house:
            said = refused(house)
            assert f"listen: 127.0.0.1, port {port}: cannot be listened at: Address already in use" in said


def test_a_socket_at_which_another_answers_is_left_to_it(house: Hasty) -> None:
    with Empty(config={"api": {"socket": str(house.folder / "api.sock")}}) as other:
        assert f"another daemon answers at {house.folder}/api.sock" in refused(other)
        assert house.client.get("/v1/status")["pid"] == house.pid


def http_status(house: Hasty, method: str, path: str, body: str | None = None) -> int:
    port = house.client.get("/v1/status")["port"]
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request(method, path, body)
        with connection.getresponse() as answer:
            return answer.status


@pytest.fixture
def fill() -> Callable[[Hasty, bool], None]:
    """Lets a daemon write nothing more, as a full disk does, or as much as it wants again."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(house: Hasty, full: bool) -> None:
        resource.prlimit(house.pid, resource.RLIMIT_FSIZE, (1 if full else hard, hard))

    return limit


def test_on_a_full_disk_it_takes_no_alarm_and_does_nothing_and_goes_on_when_there_is_room(
    fill: Callable[[Hasty, bool], None],
) -> None:
    with Hasty(config={"alarms": {"alertmanager": {}}}) as house:
        before = until(house.healthy, "all to be healthy")
        fill(house, True)
        assert http_status(house, "POST", "/v1/alarms/alertmanager", FIRING) == 503
        kill(before["db"])
        until(lambda: http_status(house, "GET", "/readyz") == 503, "the daemon to be not ready")
        assert http_status(house, "GET", "/livez") == 200
        assert "state.sqlite" in house.client.get("/v1/status")["unstored"]
        assert house.resources()["db"]["physical_id"] == before["db"]["physical_id"]
        fill(house, False)
        until(lambda: http_status(house, "GET", "/readyz") == 200, "the daemon to be ready again")
        assert http_status(house, "POST", "/v1/alarms/alertmanager", FIRING) == 202
        after = until(house.healthy, "all to be healthy")
        assert [name for name in after if after[name]["physical_id"] != before[name]["physical_id"]] == ["db"]
        outcomes = {one["resource"]: one["outcome"] for one in house.client.get("/v1/incidents")["incidents"]}
        assert outcomes["db"] == "healed"
