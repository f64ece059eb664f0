"""The values that the labels ``outcome``, ``reason``, ``type`` and a field error's ``code`` may take.

Each is a closed list, because each becomes a metric label or a key that people query. Easy to get wrong: free text
belongs in a ``detail`` field, never here.
"""

from enum import StrEnum

__all__ = ["TYPES", "UNKNOWN_TYPE", "ErrorCode", "Outcome", "RejectReason"]

TYPES: dict[str, tuple[str, ...]] = {
    "clicks": ("impression", "click", "pageview"),
    "orders": ("order", "refund"),
    "social": ("mention", "like", "comment", "share", "follow", "review", "complaint"),
}
"""Event types of each input topic."""

UNKNOWN_TYPE = "unknown"
"""Stands for the type of a record that has none, or none of :data:`TYPES`."""


class Outcome(StrEnum):
    """What became of an input record; each record has exactly one."""

    ACCEPTED = "accepted"
    LATE = "late"
    """Counted, though its time was already behind the watermark by more than the allowed lateness."""
    DUPLICATE = "duplicate"
    """The same event again (a producer's retry); not counted."""
    CONFLICT = "conflict"
    """A known id with other content; not counted, a dead letter."""
    REJECTED = "rejected"
    """Cannot be counted; a dead letter that says why."""


class RejectReason(StrEnum):
    """Why a record is a dead letter, in the order in which the reasons are looked for."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    MALFORMED = "malformed"
    """Not JSON, or nested too deep to read."""
    INVALID_SCHEMA = "invalid_schema"
    BEFORE_FLOOR = "before_floor"
    IN_FUTURE = "in_future"
    TOO_LATE = "too_late"
    CONFLICT = "conflict"


class ErrorCode(StrEnum):
    """What is wrong with one field, or with the record as a whole (path ``$``)."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    TOO_DEEP = "too_deep"
    MISSING = "missing"
    WRONG_TYPE = "wrong_type"
    WRONG_FORMAT = "wrong_format"
    NOT_ALLOWED = "not_allowed"
    """None of the values that the contract lists."""
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    TOO_SMALL = "too_small"
    TOO_BIG = "too_big"
    CONTROL_CHARACTER = "control_character"
    BEFORE_FLOOR = "before_floor"
    IN_FUTURE = "in_future"
