"""What matters less is left out so that what matters more goes on: priority 3 first, then 2, never 1.

An operator says so by a file that Envoy watches, or the workers do, each for itself, when they have too much to do; the edge remembers a
worker's refusal for a second (shedding.lua). And whatever they say, what may be shed has only so many places at the workers at once
(upstreams.py), which the edge remembers for a moment. Every time the answer is 503 with Retry-After, and counted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml

from gateway.errors import SHED_EXPRESSION, cel, is_status
from gateway.headers import TYPES, http_filter

FILTER = "shedding"
Level = Literal["off", "3", "2"]
"""The priority from which on calls are shed."""
LEVELS: tuple[Level, ...] = ("off", "3", "2")

BY_OPERATOR_SECONDS = 30
SENTENCE = "This is switched off at the moment, so that what matters more goes on."


def level_of(text: str) -> Level:
    """The level of that name.

    Raises:
        ValueError: there is none.
    """
    for level in LEVELS:
        if text == level:
            return level
    raise ValueError(f"{text} is no level of shedding; there are {', '.join(LEVELS)}")


def write_level(file: Path, level: Level) -> None:
    """Switches; an Envoy that runs takes it at once."""
    keys = {_key(priority): 100 for priority in (2, 3) if level != "off" and priority >= int(level)}
    layer = {"@type": "type.googleapis.com/envoy.service.runtime.v3.Runtime", "name": FILTER, "layer": keys}
    fresh = file.with_suffix(".new")
    fresh.write_text(yaml.safe_dump({"resources": [layer]}, sort_keys=False))
    fresh.replace(file)  # only what is moved there is noticed, and nothing half-written is read


def runtime_layer(file: Path) -> dict[str, Any]:
    """A layer of Envoy's `layered_runtime`."""
    source = {"path_config_source": {"path": str(file)}, "resource_api_version": "V3"}
    return {"name": FILTER, "rtds_layer": {"name": FILTER, "rtds_config": source}}


def switched_off(route: dict[str, Any], priority: int) -> dict[str, Any]:
    """The route to try before this one: it answers while the operator's switch says so."""
    match = {**route["match"], "runtime_fraction": {"default_value": {"numerator": 0}, "runtime_key": _key(priority)}}
    retry_after = {"header": {"key": "retry-after", "value": str(BY_OPERATOR_SECONDS)}}
    off = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}
    return {
        "name": route["name"],
        "match": match,
        "direct_response": {"status": 503, "body": {"inline_string": SENTENCE}},
        "response_headers_to_add": [retry_after],
        "metadata": {"filter_metadata": of_priority(priority)},
        "typed_per_filter_config": {"envoy.filters.http.grpc_json_transcoder": off},
    }


def of_priority(priority: int) -> dict[str, Any]:
    """A route's `filter_metadata`."""
    return {FILTER: {"priority": priority}}


def remembers_refusals() -> dict[str, Any]:
    """The filter of the workers' own refusals; only for routes that turn it on."""
    code = Path(__file__).with_name("shedding.lua").read_text()
    return {**http_filter("lua", "Lua", default_source_code={"inline_string": code}), "name": FILTER, "disabled": True}


def counts_shed() -> dict[str, Any]:
    """An access log that is a counter: `shed.calls`, by priority, of what the edge answered so itself."""
    tag = {"name": "priority", "value_format": f"%METADATA(ROUTE:{FILTER}:priority)%"}
    by = {"name": "by", "value_format": "%RESPONSE_CODE_DETAILS%"}
    counter = {"stat": {"name": "calls", "tags": [tag, by]}, "value_fixed": 1}
    config = {"@type": TYPES + "access_loggers.stats.v3.Config", "stat_prefix": "shed", "counters": [counter]}
    return {"name": "shed", "filter": {"and_filter": {"filters": [is_status(503), cel(SHED_EXPRESSION)]}}, "typed_config": config}


def _key(priority: int) -> str:
    return f"shed.priority_{priority}"
