"""Local::Process and Local::File for a real Heat: the same real things as those of healer's embedded engine.

What they are is in healer/engines/local/machine.py, loaded from there, so that the two cannot drift. What is
only for tests is the file control.json in $HEALER_RIG_REALITY, the directory where the things' files lie:

    {"fail_create": [names], "hold_create": [names], "fail_delete": [names], "hold_delete": [names],
     "fail_one_create": [names]}

with logical names of resources. A create or a delete that is held goes on once its name is taken off the list;
`fail_one_create` takes the name off itself.
"""

import importlib.util
import json
import os
import pathlib
import sys
import threading

from heat.common import exception
from heat.engine import attributes, properties, resource

REALITY = os.environ["HEALER_RIG_REALITY"]
CONTROL = os.path.join(REALITY, "control.json")
SWITCHING = threading.Lock()
PATIENCE_S = 2.0
"""Seconds between SIGTERM and SIGKILL."""


def _machine():
    path = pathlib.Path(__file__).resolve().parents[4] / "healer" / "engines" / "local" / "machine.py"
    spec = importlib.util.spec_from_file_location("healer_local_machine", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


machine = _machine()


class LocalThing(resource.Resource):
    """What a process and a file have in common: the switches, and one token for each incarnation."""

    def _switched(self, switch):
        return self.name in json.loads(machine.read_file(CONTROL) or "{}").get(switch, [])

    def _switched_once(self, switch):
        with SWITCHING:
            control = json.loads(machine.read_file(CONTROL) or "{}")
            if self.name not in control.get(switch, []):
                return False
            control[switch].remove(self.name)
            machine.write_file(CONTROL, json.dumps(control))
            return True

    def _token(self):
        # Of the resource's row in Heat's database: a replacement has a new one, whatever its name.
        return f"{self.name}-{self.uuid}"

    def handle_create(self):
        if self._switched("fail_create") or self._switched_once("fail_one_create"):
            # Not ResourceInError: Heat would try five times, for more than a minute.
            raise exception.Error(f"{self.name} may not be created")
        self.resource_id_set(self._create())

    def check_create_complete(self, _result):
        return not self._switched("hold_create")

    def handle_update(self, _snippet, _template_difference, difference):
        if not self._exists():
            raise exception.NotFound(f"{self.name} {self.resource_id} is gone")
        self._change(difference)

    def handle_check(self):
        if not self._exists():
            raise exception.NotFound(f"{self.name} {self.resource_id} is gone")

    def handle_delete(self):
        if self._switched("fail_delete"):
            raise exception.Error(f"{self.name} may not be deleted")

    def check_delete_complete(self, _result):
        if self._switched("hold_delete"):
            return False
        self._destroy()
        return True

    def needs_replace_failed(self):
        """Like a Nova server: one that failed is replaced where it is really broken, else taken as it is."""
        return self.resource_id is None or not self._exists()


class LocalProcess(LocalThing):
    PROPERTIES = COMMAND, WIRES = "command", "wires"
    ATTRIBUTES = PORT, ADDRESS, TOLD = "port", "address", "wires"

    properties_schema = {
        COMMAND: properties.Schema(
            properties.Schema.ANY, "What to run: words, or one string to be split as a shell would.", required=True
        ),
        WIRES: properties.Schema(
            properties.Schema.MAP, "What it needs to know of others.", default={}, update_allowed=True
        ),
    }
    attributes_schema = {
        PORT: attributes.Schema("Where it listens.", type=attributes.Schema.INTEGER),
        ADDRESS: attributes.Schema("Where it listens.", type=attributes.Schema.STRING),
        TOLD: attributes.Schema("What it has been told of others.", type=attributes.Schema.MAP),
    }

    def _create(self):
        # If Heat was killed between starting it and writing down that it did, it runs already.
        state = machine.find_by_token(self._token()) or machine.start_process(
            self.properties[self.COMMAND], self.properties[self.WIRES], REALITY, self._token()
        )
        self.data_set("port", str(state.port))
        self.data_set("address", state.address)
        self.data_set("wires_path", state.wires_path)
        return state.physical_id

    def _exists(self):
        return self.resource_id is not None and machine.process_alive(self.resource_id)

    def _change(self, difference):
        if self.WIRES in difference:
            machine.rewire(self.resource_id, self.data()["wires_path"], difference[self.WIRES] or {})

    def _destroy(self):
        physical_id = self.resource_id
        if physical_id is None:
            orphan = machine.find_by_token(self._token())
            if orphan is None:
                return
            physical_id = orphan.physical_id
        machine.stop_process(physical_id, PATIENCE_S)

    def _resolve_attribute(self, name):
        data = self.data()
        if self.PORT not in data:
            return None
        if name == self.TOLD:
            return json.loads(machine.read_file(data["wires_path"]) or "{}")
        return int(data[name]) if name == self.PORT else data[name]


class LocalFile(LocalThing):
    PROPERTIES = CONTENT, KIND = "content", "kind"
    ATTRIBUTES = PATH, NOW = "path", "content"

    properties_schema = {
        CONTENT: properties.Schema(
            properties.Schema.STRING, "What the file holds.", default="", update_allowed=True
        ),
        KIND: properties.Schema(properties.Schema.STRING, "What sort of file it is.", default=""),
    }
    attributes_schema = {
        PATH: attributes.Schema("Where it lies.", type=attributes.Schema.STRING),
        NOW: attributes.Schema("What it holds now.", type=attributes.Schema.STRING),
    }

    def _path(self):
        return os.path.join(REALITY, self._token())

    def _create(self):
        machine.write_file(self._path(), self.properties[self.CONTENT])
        return self._token()

    def _exists(self):
        return machine.read_file(self._path()) is not None

    def _change(self, difference):
        if self.CONTENT in difference:
            machine.rewrite_file(self._path(), difference[self.CONTENT] or "")

    def _destroy(self):
        machine.remove_file(self._path())

    def _resolve_attribute(self, name):
        if name == self.PATH:
            return self._path()
        return machine.read_file(self._path())


def resource_mapping():
    return {"Local::Process": LocalProcess, "Local::File": LocalFile}
