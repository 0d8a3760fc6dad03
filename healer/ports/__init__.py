"""The sockets that plug-ins fit into; each docstring is the contract that its contract suite tests."""

from __future__ import annotations

from healer.ports.alarms import (
    ALARMS_PATH,
    AlarmSource,
    Answer,
    Answering,
    Authentication,
    Batch,
    Closing,
    Confirmation,
    Delivery,
    Greeting,
    Pull,
    Rejected,
    Silencing,
)
from healer.ports.clock import Clock
from healer.ports.engines import Engine, Event, Operation, OperationState, Place
from healer.ports.errors import (
    AlarmError,
    ConfigError,
    EngineError,
    HealerError,
    PluginError,
    StaleWriterError,
    StoreError,
)
from healer.ports.plugins import Action, Checkable, Message, Notifier, Probe, Sight, Subject, Watcher
from healer.ports.stores import EVERY, Entry, FiledAlarm, ObservationRun, PolicyRevision, Store, Wanted, Write

__all__ = [
    "ALARMS_PATH",
    "EVERY",
    "Action",
    "AlarmError",
    "AlarmSource",
    "Answer",
    "Answering",
    "Authentication",
    "Batch",
    "Checkable",
    "Clock",
    "Closing",
    "ConfigError",
    "Confirmation",
    "Delivery",
    "Engine",
    "EngineError",
    "Entry",
    "Event",
    "FiledAlarm",
    "Greeting",
    "HealerError",
    "Message",
    "Notifier",
    "ObservationRun",
    "Operation",
    "OperationState",
    "Place",
    "PluginError",
    "PolicyRevision",
    "Probe",
    "Pull",
    "Rejected",
    "Sight",
    "Silencing",
    "StaleWriterError",
    "Store",
    "StoreError",
    "Subject",
    "Wanted",
    "Watcher",
    "Write",
]
