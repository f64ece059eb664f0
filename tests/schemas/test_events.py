"""The decoder and the published JSON Schema are one contract."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from schemas.events import INPUTS, RULES
from schemas.generate import json_schema
from schemas.reasons import TYPES
from schemas.topics import TOPICS
from streams.decode_slow import Decoded, SlowDecoder
from tests.builders import EVENTS, JSON, REMOVED, event, events, raw
from tests.hostile import HOSTILE, Case

VALIDATORS = {topic: Draft202012Validator(json_schema(TOPICS[topic])) for topic in INPUTS}
DECODERS = {topic: SlowDecoder(topic) for topic in INPUTS}
topics = pytest.mark.parametrize("topic", INPUTS)


def _is_event(topic: str, fields: dict[str, Any]) -> bool:
    return isinstance(DECODERS[topic].decode(raw(fields)), Decoded)


@topics
def test_the_types_are_those_of_the_reasons(topic: str) -> None:
    """The label values and the contract name the same types."""
    assert tuple(json_schema(TOPICS[topic])["properties"]["type"]["enum"]) == tuple(sorted(TYPES[topic]))
    assert all(_is_event(topic, event(topic, type=kind)) for kind in TYPES[topic])


@topics
@given(st.data())
def test_valid_events_satisfy_the_schema(topic: str, data: st.DataObject) -> None:
    """What a sender may send, the schema allows."""
    VALIDATORS[topic].validate(data.draw(events(topic)))


@topics
@given(st.data())
def test_schema_and_decoder_agree(topic: str, data: st.DataObject) -> None:
    """A changed event satisfies both or neither, rules between fields included."""
    # JSON Schema takes 1.0 for an integer and only notes the form of times, so neither is tried here.
    values = JSON.filter(lambda value: not (isinstance(value, float) and value.is_integer()))
    changes = data.draw(st.dictionaries(st.sampled_from(INPUTS[topic].__struct_fields__), st.just(REMOVED) | values))
    if isinstance(changes.get("event_time"), str):
        changes["event_time"] = None
    kind = data.draw(st.sampled_from(TYPES[topic]))
    fields = event(topic, **{"type": kind, **changes})
    assert VALIDATORS[topic].is_valid(fields) == _is_event(topic, fields)


@pytest.mark.parametrize(
    "case", [case for case in HOSTILE if case.errors[0][0].startswith("$.")], ids=lambda case: case.name
)
def test_the_schema_refuses_hostile_fields(case: Case) -> None:
    """Apart from what JSON Schema cannot say: forms and bounds of time, and whole floats."""
    unsayable = case.errors[0][0] == "$.event_time" or "whole float" in case.name
    assert unsayable or not VALIDATORS[case.topic].is_valid(json.loads(case.raw or b""))


@topics
def test_unknown_fields_are_allowed(topic: str) -> None:
    """A sender may add fields at any time."""
    assert VALIDATORS[topic].is_valid({**EVENTS[topic], "unknown": {"a": 1}})
    assert _is_event(topic, {**EVENTS[topic], "unknown": {"a": 1}})


def test_each_rule_is_part_of_the_schema() -> None:
    """No rule lives in code alone."""
    for topic, rules in RULES.items():
        assert json_schema(TOPICS[topic]).get("allOf", []) == [rule.schema for rule in rules]
