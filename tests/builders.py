"""Valid events to start from, and strategies that make more of them."""

import json
from typing import Any

from hypothesis import strategies as st

from schemas.fields import MOST_MICROS
from schemas.reasons import TYPES

NOW = 1_767_225_600_000
"""Kafka's time of the records in tests: 1 January 2026, UTC."""

FLOOR = 631_152_000_000
SKEW = 600_000
MOST_BYTES = 262_144

EVENTS: dict[str, dict[str, Any]] = {
    "clicks": {
        "event_id": "e1",
        "type": "click",
        "event_time": NOW,
        "user_id": "u1",
        "campaign_id": "c1",
        "cost_micros": 250_000,
        "currency": "EUR",
    },
    "orders": {
        "event_id": "e1",
        "type": "order",
        "event_time": NOW,
        "user_id": "u1",
        "order_id": "o1",
        "revenue_micros": 1_500_000,
        "currency": "EUR",
    },
    "social": {"event_id": "e1", "type": "like", "event_time": NOW, "user_id": "u1", "platform": "instagram"},
}
"""One valid event of each input topic."""

REMOVED = object()


def event(topic: str, **changes: Any) -> dict[str, Any]:
    """Return a valid event with changes; ``REMOVED`` takes a field away."""
    fields = {**EVENTS[topic], **changes}
    return {name: value for name, value in fields.items() if value is not REMOVED}


def raw(fields: Any) -> bytes:
    """Return JSON as a producer may write it."""
    return json.dumps(fields, ensure_ascii=False).encode()


def _text(most: int) -> st.SearchStrategy[str]:
    characters = st.characters(codec="utf-8", exclude_characters="\x7f", min_codepoint=32)
    return st.text(characters, min_size=1, max_size=most)


def _money() -> st.SearchStrategy[int]:
    return st.integers(0, MOST_MICROS)


_COMMON = {
    "event_id": _text(256),
    "event_time": st.integers(FLOOR, NOW + SKEW),
    "user_id": _text(256),
}
_PLACE = {"campaign_id": _text(128), "channel": _text(64)}
_CURRENCY = st.from_regex("[A-Z]{3}", fullmatch=True)

_FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "clicks": (
        {**_COMMON, "campaign_id": _text(128), "currency": _CURRENCY},
        {
            "channel": _text(64) | st.none(),
            "ad_id": _text(128),
            "cost_micros": _money() | st.none(),
            "session_id": _text(256),
            "page": _text(40),
            "ip": _text(64),
            "user_agent": _text(40) | st.none(),
            "variant": _text(64),
        },
    ),
    "orders": (
        {**_COMMON, "order_id": _text(256), "revenue_micros": st.integers(1, MOST_MICROS), "currency": _CURRENCY},
        {**_PLACE, "quantity": st.integers(1, 1_000_000) | st.none(), "new_customer": st.booleans() | st.none()},
    ),
    "social": (
        {**_COMMON, "platform": _text(64)},
        {
            **_PLACE,
            "text": st.text(st.characters(codec="utf-8"), max_size=60) | st.none(),
            "sentiment": st.floats(-1, 1),
            "rating": st.integers(1, 5),
        },
    ),
}


def events(topic: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy of valid events."""
    required, optional = _FIELDS[topic]
    return st.fixed_dictionaries({"type": st.sampled_from(TYPES[topic]), **required}, optional=optional)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
"""Any JSON value."""
