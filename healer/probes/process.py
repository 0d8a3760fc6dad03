"""Does this very process run: asks the kernel, by the physical id that the embedded engine gives a process.

It looks with its own eyes: what the engine that started the process believes of it is what `engine` watches.
"""

from __future__ import annotations

import os

from pydantic import ConfigDict

from healer.core.model import Health, Symptom
from healer.plugins import Plugin
from healer.ports import Sight, Subject

_SIZE = 4096


class Process(Plugin):
    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    async def probe(self, subject: Subject) -> Sight:
        boot, _, rest = subject.physical_id.partition(":")
        pid, _, started = rest.partition(":")
        if not (boot and pid.isascii() and pid.isdigit() and started.isascii() and started.isdigit()):
            named = subject.physical_id or "nothing"
            return Sight(Health.UNKNOWN, Symptom.UNRESOLVED, f"{named} is no process of this machine")
        try:
            if boot != _read("sys/kernel/random/boot_id").strip():
                return _gone(pid, "this machine was started anew since")
            return _judge(pid, started, _read(f"{pid}/stat"))
        except (FileNotFoundError, ProcessLookupError):
            return _absent(int(pid))
        except OSError as error:
            return Sight(Health.UNKNOWN, Symptom.PROBE_BROKEN, f"process {pid} cannot be looked at: {error}")


def _judge(pid: str, started: str, stat: str) -> Sight:
    fields = stat.rpartition(")")[2].split()  # the name before it may hold blanks and brackets
    state = fields[0]
    if fields[19] != started:
        return _gone(pid, "its number belongs to another process now")
    match state:
        case "Z" | "X":
            return _gone(pid, "it has ended")
        case "T":
            detail = f"process {pid} is stopped by a signal: it answers nobody"
            return Sight(Health.UNHEALTHY, Symptom.TIMED_OUT, detail)
        case "t":
            return Sight(Health.UNKNOWN, Symptom.UNRESOLVED, f"a debugger holds process {pid}")
        case _:
            return Sight(Health.HEALTHY, Symptom.OK, f"process {pid} runs")


def _absent(pid: int) -> Sight:
    """With `hidepid`, the processes of others look as if they were not there."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return _gone(str(pid), "there is no such process")
    except PermissionError:
        pass
    return Sight(Health.UNKNOWN, Symptom.PROBE_BROKEN, f"process {pid} exists, and cannot be read")


def _gone(pid: str, why: str) -> Sight:
    return Sight(Health.UNHEALTHY, Symptom.GONE, f"process {pid} is gone: {why}")


def _read(name: str) -> str:
    """The kernel answers from memory, in microseconds; in a thread it would queue behind calls that hang."""
    descriptor = os.open(f"/proc/{name}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _SIZE).decode(errors="replace")
    finally:
        os.close(descriptor)
