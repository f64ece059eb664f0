"""The decoder's second path: keeps unknown fields apart, or finds *everything* that is wrong with a record.

msgspec stops at the first error, so each field is tried by itself here. The rule easy to get wrong: an error must not
repeat a value (dead letters are read by people who may not read personal data), so it is described from the contract
and the JSON type that came, never from msgspec's message.
"""

import re
from array import array
from itertools import accumulate
from types import SimpleNamespace
from typing import Any, get_type_hints

import msgspec
from msgspec import inspect

from schemas.dead_letters import FieldError
from schemas.events import INPUTS, Event, broken_rules
from schemas.fields import NO_CONTROL_CHARACTERS
from schemas.reasons import TYPES, UNKNOWN_TYPE, ErrorCode, RejectReason
from streams.extra import kept

__all__ = ["MOST_DEPTH", "Decoded", "Reject", "SlowDecoder", "has_control_character"]

MOST_DEPTH = 64
"""Levels of nesting that are read. A limit of our own: where Python's recursion ends depends on the caller's stack, and
the same record must be judged the same everywhere."""


class Decoded(msgspec.Struct, gc=False):
    """A valid event (``event_time`` in epoch ms) and the unknown fields that came with it."""

    event: Event
    extra: dict[str, Any]


class Reject(msgspec.Struct):
    """Why a record cannot be counted."""

    reason: RejectReason
    errors: list[FieldError]
    type: str = UNKNOWN_TYPE
    """The event type, if the record has a known one."""


def _labels_of(struct: type[Event]) -> tuple[str, ...]:
    """Return the fields that must not hold control characters."""
    names = []
    for name, kind in get_type_hints(struct, include_extras=True).items():
        schema = msgspec.json.schema(kind)
        options = schema.get("anyOf", [schema])
        if any(option.get("pattern") == NO_CONTROL_CHARACTERS for option in options):
            names.append(name)
    return tuple(names)


_LABELS: dict[type[Event], tuple[str, ...]] = {struct: _labels_of(struct) for struct in INPUTS.values()}
_control_character = re.compile("[\x00-\x1f\x7f]").search


def has_control_character(event: Event) -> bool:
    """Return whether a field that becomes a key or a label holds a control character."""
    values = [getattr(event, name) for name in _LABELS[type(event)]]
    return _control_character("".join([value for value in values if value])) is not None


class SlowDecoder:
    """Decodes the records of one input topic without hurry; knows nothing of sizes and times.

    >>> SlowDecoder("orders").decode(b'{"type":"refund","revenue_micros":"12"}').errors[4].detail
    'expected an integer from 0 to 1000000000000000; got a string of 2 characters'
    """

    def __init__(self, topic: str) -> None:
        self._struct = INPUTS[topic]
        self._types = TYPES[topic]
        self._broken = broken_rules(topic)
        kinds = get_type_hints(self._struct, include_extras=True)
        info = inspect.type_info(self._struct)
        assert isinstance(info, inspect.StructType)
        self._fields = [(field.name, kinds[field.name], field.required, _expected(field.type)) for field in info.fields]
        self._names = frozenset(kinds)

    def decode(self, raw: bytes) -> Decoded | Reject:
        """Return the event and its unknown fields, or a reject with all errors."""
        record = _parse(raw)
        if isinstance(record, Reject):
            return record
        names = self._names
        known = {name: value for name, value in record.items() if name in names}
        try:
            event = msgspec.convert(known, self._struct)
        except ValueError:
            return self._reject(known)
        if self._broken(event) or has_control_character(event):
            return self._reject(known)
        if len(known) == len(record):
            return Decoded(event, {})
        return Decoded(event, kept({name: value for name, value in record.items() if name not in names}))

    def _reject(self, known: dict[str, Any]) -> Reject:
        valid = SimpleNamespace()
        errors: dict[str, FieldError] = {}
        for name, kind, required, expected in self._fields:
            setattr(valid, name, None)
            if name not in known:
                if required:
                    errors[name] = FieldError(f"$.{name}", ErrorCode.MISSING, f"expected {expected}")
                continue
            value = known[name]
            try:
                setattr(valid, name, msgspec.convert(value, kind))
            except ValueError as error:
                detail = f"expected {expected}; got {_came(value)}"
                errors[name] = FieldError(f"$.{name}", _code(str(error)), detail)
        for name in _LABELS[self._struct]:
            if _control_character(getattr(valid, name) or ""):
                detail = "expected no control characters"
                errors[name] = FieldError(f"$.{name}", ErrorCode.CONTROL_CHARACTER, detail)
        for rule in self._broken(valid):
            errors.setdefault(rule.field, FieldError(f"$.{rule.field}", rule.code, rule.detail))
        ordered = [errors[name] for name, *_ in self._fields if name in errors]
        return Reject(RejectReason.INVALID_SCHEMA, ordered, valid.type or UNKNOWN_TYPE)


# -- syntax ------------------------------------------------------------------


def _parse(raw: bytes) -> dict[str, Any] | Reject:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return _whole(RejectReason.NOT_UTF8, ErrorCode.NOT_UTF8, f"not UTF-8 at byte {error.start}")
    if raw.count(b"[") + raw.count(b"{") > MOST_DEPTH and _depth(raw) > MOST_DEPTH:
        detail = f"expected at most {MOST_DEPTH} nested levels"
        return _whole(RejectReason.MALFORMED, ErrorCode.TOO_DEEP, detail)
    try:
        record = msgspec.json.decode(raw)
    except msgspec.ValidationError:
        return _whole(RejectReason.MALFORMED, ErrorCode.NOT_JSON, "a number is out of range")
    except (ValueError, RecursionError):
        return _whole(RejectReason.MALFORMED, ErrorCode.NOT_JSON, "not a JSON text")
    if not isinstance(record, dict):
        detail = f"expected an object; got {_came(record)}"
        return _whole(RejectReason.INVALID_SCHEMA, ErrorCode.WRONG_TYPE, detail)
    return record


_strings = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _depth(raw: bytes) -> int:
    """Return how deep brackets are nested, outside of strings; linear in the record's size.

    >>> _depth(b'{"a": [[], "]]"]}')
    3
    """
    steps = array("b", _strings.sub(b"", raw).translate(_STEPS, _NOT_BRACKETS))
    return max(accumulate(steps), default=0)


def _whole(reason: RejectReason, code: ErrorCode, detail: str) -> Reject:
    return Reject(reason, [FieldError("$", code, detail)])


# -- words -------------------------------------------------------------------

_CODES = (
    # First: this message repeats the value, which could hold the words of any other.
    ("Invalid enum value", ErrorCode.NOT_ALLOWED),
    ("`, got `", ErrorCode.WRONG_TYPE),
    ("of length >=", ErrorCode.TOO_SHORT),
    ("of length <=", ErrorCode.TOO_LONG),
    (" >= ", ErrorCode.TOO_SMALL),
    (" <= ", ErrorCode.TOO_BIG),
)
"""Words that tell msgspec's messages apart; the first that occur decide."""


def _code(message: str) -> ErrorCode:
    return next((code for words, code in _CODES if words in message), ErrorCode.WRONG_FORMAT)


def _came(value: Any) -> str:
    """Return what kind of JSON value it is, without the value.

    >>> _came("Ada"), _came(True), _came([1])
    ('a string of 3 characters', 'a boolean', 'an array')
    """
    if isinstance(value, str):
        return f"a string of {len(value)} characters"
    words = {bool: "a boolean", int: "an integer", float: "a number", list: "an array", dict: "an object"}
    return words.get(type(value), "null")


def _expected(kind: inspect.Type) -> str:
    """Return in words what a field may hold."""
    match kind:
        case inspect.Metadata():
            return _expected(kind.type)
        case inspect.UnionType():
            return " or ".join(_expected(option) for option in kind.types if not isinstance(option, inspect.NoneType))
        case inspect.LiteralType():
            return "one of " + ", ".join(map(str, kind.values))
        case inspect.DateTimeType():
            return "an RFC 3339 time with offset"
        case inspect.BoolType():
            return "true or false"
        case inspect.StrType():
            if kind.pattern is not None:
                return f"a string that matches {kind.pattern}"
            return f"a string of {kind.min_length or 0} to {kind.max_length} characters"
        case inspect.IntType():
            return f"an integer from {kind.ge} to {kind.le}"
        case inspect.FloatType():
            return f"a number from {kind.ge} to {kind.le}"
    raise TypeError(f"no words for {kind}")
