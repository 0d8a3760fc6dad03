"""The JSON Schema of a policy, for editors that check and complete while one types."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from healer import plugins
from healer.config.sections import PolicySection
from healer.durations import spelled

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _Generator(GenerateJsonSchema):
    def encode_default(self, dft: Any) -> Any:
        """A duration as people write it; pydantic would write `PT30S`."""
        return spelled(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def policy_schema() -> dict[str, Any]:
    """With the options of every probe and watcher that is installed, and the names of every action."""
    schema = PolicySection.model_json_schema(schema_generator=_Generator)
    definitions = schema["$defs"]
    kinds = {name: _options("probes", name, definitions) for name in plugins.names("probes")}
    probe = definitions["ProbeSection"]
    probe["properties"] |= kinds
    probe["additionalProperties"] = False
    probe["oneOf"] = [{"required": [name]} for name in kinds]
    watchers: list[dict[str, Any]] = [{"const": name} for name in plugins.names("watchers")]
    watchers += [
        {
            "type": "object",
            "properties": {name: _options("watchers", name, definitions)},
            "required": [name],
            "additionalProperties": False,
        }
        for name in plugins.names("watchers")
    ]
    definitions["DetectSection"]["properties"]["watchers"]["items"] = {"anyOf": watchers}
    definitions["RemediationSection"]["properties"]["action"]["enum"] = list(plugins.names("actions"))
    return {"$schema": _DIALECT, **schema, "title": "A policy of healer"}


def _options(folder: str, name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of one plug-in's options; what it defines besides goes to the others."""
    schema = plugins.find(folder, name).model_json_schema(schema_generator=_Generator)
    for inner, definition in schema.pop("$defs", {}).items():
        definitions.setdefault(inner, definition)
    if not schema.get("required"):  # `process:` alone will do
        schema["type"] = ["object", "null"]
    return schema
