"""What can go wrong, told so that a person can understand it."""

from __future__ import annotations

from datetime import timedelta

from healer.core.step import Failure


class HealerError(Exception):
    """Something went wrong that a person can understand."""


class ConfigError(HealerError):
    """The configuration cannot be used; the text names file, line, key and what was expected."""


class PluginError(HealerError):
    """A plug-in does not exist or does not load."""


class AlarmError(HealerError):
    """The body is not what this sender sends (HTTP 400)."""


class StoreError(HealerError):
    """What should be kept could not be kept; the caller must not claim that it was."""


class StaleWriterError(StoreError):
    """Another daemon has taken over this state: this one must stop writing."""


class EngineError(HealerError):
    """A call to the engine did not succeed; `failure` says what that means for the repair."""

    def __init__(self, failure: Failure, detail: str, retry_after: timedelta | None = None) -> None:
        super().__init__(detail)
        self.failure = failure
        self.detail = detail
        self.retry_after = retry_after
