"""Records that no sender should have sent, with what the decoder must say: the corpus of the decoder's own tests.

(:mod:`streams.simulate.faults` has the ones that are sent through the whole flow.)
"""

from typing import NamedTuple

from schemas.reasons import ErrorCode, RejectReason
from tests.builders import MOST_BYTES, NOW, REMOVED, SKEW, event, raw

_CLICK = raw(event("clicks"))


class Case(NamedTuple):
    """A record of a topic, the reason of its reject, and path and code of each error."""

    name: str
    topic: str
    raw: bytes | None
    reason: RejectReason
    errors: tuple[tuple[str, ErrorCode], ...]


def _whole(name: str, raw: bytes | None, reason: RejectReason, code: ErrorCode) -> Case:
    return Case(name, "clicks", raw, reason, (("$", code),))


def _malformed(name: str, raw: bytes, code: ErrorCode = ErrorCode.NOT_JSON) -> Case:
    return _whole(name, raw, RejectReason.MALFORMED, code)


def _wrong(topic: str, code: ErrorCode, field: str, value: object, name: str = "") -> Case:
    record = raw(event(topic, **{field: value}))
    errors = ((f"$.{field}", code),)
    return Case(f"{topic} {field} {name or code}", topic, record, RejectReason.INVALID_SCHEMA, errors)


def _with_text(field: str, text: bytes, code: ErrorCode, name: str) -> Case:
    """Return a click whose field is JSON text that no encoder would write."""
    record = raw(event("clicks", **{field: REMOVED}))[:-1] + b', "%b": %b}' % (field.encode(), text)
    return Case(f"{field} {name}", "clicks", record, RejectReason.INVALID_SCHEMA, ((f"$.{field}", code),))


def _in_click(text: bytes) -> bytes:
    return _CLICK[:-1] + b', "x": ' + text + b"}"


_UNREADABLE = (
    _whole("no value", None, RejectReason.EMPTY, ErrorCode.EMPTY),
    _whole("no bytes", b"", RejectReason.EMPTY, ErrorCode.EMPTY),
    _whole("5 MB", b"x" * 5_000_000, RejectReason.TOO_LARGE, ErrorCode.TOO_LARGE),
    _whole("one byte too many", _CLICK + b" " * (MOST_BYTES - len(_CLICK) + 1), RejectReason.TOO_LARGE,
           ErrorCode.TOO_LARGE),
    _whole("UTF-16", '{"a": 1}'.encode("utf-16"), RejectReason.NOT_UTF8, ErrorCode.NOT_UTF8),
    _whole("Latin-1 in a known field", raw(event("clicks", page="é")).decode().encode("latin-1"), RejectReason.NOT_UTF8,
           ErrorCode.NOT_UTF8),
    _whole("Latin-1 in an unknown field", _in_click(b'"\xe9"'), RejectReason.NOT_UTF8, ErrorCode.NOT_UTF8),
    _whole("a surrogate as bytes", _in_click(b'"\xed\xa0\x80"'), RejectReason.NOT_UTF8, ErrorCode.NOT_UTF8),
    _malformed("a byte order mark", b"\xef\xbb\xbf" + _CLICK),
    _malformed("blanks", b"  \n"),
    _malformed("a zero byte", b"\x00"),
    _malformed("cut off", _CLICK[:-1]),
    _malformed("two records", _CLICK + _CLICK),
    _malformed("a trailing comma", _CLICK[:-1] + b",}"),
    _malformed("single quotes", _CLICK.replace(b'"', b"'")),
    _malformed("NaN", _in_click(b"NaN")),
    _malformed("Infinity", _in_click(b"Infinity")),
    _malformed("a number beyond all bounds", _in_click(b"1e400")),
    _malformed("a number of 200,000 digits", _in_click(b"9" * 200_000)),
    _malformed("a lone surrogate", _in_click(b'"\\ud800"')),
    _malformed("a lone low surrogate", _in_click(b'"\\udc00"')),
    _malformed("surrogates the wrong way round", _in_click(b'"\\udc00\\ud800"')),
    _malformed("a lone surrogate in a known field", _CLICK.replace(b'"u1"', b'"\\ud800"')),
    _malformed("a raw line break in a string", _in_click(b'"a\nb"')),
    _malformed("a quote that never ends", _in_click(b'"' + b'\\"' * 100_000)),
    _malformed("such a quote behind brackets", _in_click(b"[" + b"[]," * 80 + b'"' + b'\\"' * 100_000)),
    _malformed("closing brackets only", b"]" * 200_000),
    _malformed("arrays 65 deep", _in_click(b"[" * 64 + b"]" * 64), ErrorCode.TOO_DEEP),
    _malformed("arrays 100,000 deep", _in_click(b"[" * 100_000 + b"]" * 100_000), ErrorCode.TOO_DEEP),
    _malformed("arrays that never end", b"[" * 200_000, ErrorCode.TOO_DEEP),
    _malformed("objects 40,000 deep", b'{"a":' * 40_000 + b"1" + b"}" * 40_000, ErrorCode.TOO_DEEP),
)  # fmt: skip

_NOT_AN_EVENT = tuple(
    _whole(name, text, RejectReason.INVALID_SCHEMA, ErrorCode.WRONG_TYPE)
    for name, text in (
        ("null", b"null"),
        ("true", b"true"),
        ("a number", b"12"),
        ("a text", b'"click"'),
        ("a list of events", b"[" + _CLICK + b"]"),
    )
)

_TIME = (
    _wrong("clicks", ErrorCode.WRONG_TYPE, "event_time", None, "null"),
    _wrong("clicks", ErrorCode.WRONG_TYPE, "event_time", True, "true"),
    _wrong("clicks", ErrorCode.WRONG_TYPE, "event_time", float(NOW), "float"),
    _wrong("clicks", ErrorCode.TOO_BIG, "event_time", NOW * 1_000, "in microseconds"),
    _wrong("clicks", ErrorCode.TOO_SMALL, "event_time", -(10**15), "long ago"),
    _with_text("event_time", b"9" * 40, ErrorCode.TOO_BIG, "beyond 64 bits"),
    _wrong("clicks", ErrorCode.WRONG_FORMAT, "event_time", "", "empty"),
    _wrong("clicks", ErrorCode.WRONG_FORMAT, "event_time", str(NOW), "number in quotes"),
    _wrong("clicks", ErrorCode.WRONG_FORMAT, "event_time", "2026-01-01", "date"),
    _wrong("clicks", ErrorCode.WRONG_FORMAT, "event_time", "2026-01-01T00:00:00", "without offset"),
    _wrong("clicks", ErrorCode.WRONG_FORMAT, "event_time", "2026-02-30T00:00:00Z", "30 February"),
    _wrong("clicks", ErrorCode.WRONG_FORMAT, "event_time", "10000-01-01T00:00:00Z", "year 10000"),
    Case("before the floor", "clicks", raw(event("clicks", event_time=0)), RejectReason.BEFORE_FLOOR,
         (("$.event_time", ErrorCode.BEFORE_FLOOR),)),
    Case("negative", "clicks", raw(event("clicks", event_time=-1)), RejectReason.BEFORE_FLOOR,
         (("$.event_time", ErrorCode.BEFORE_FLOOR),)),
    Case("the year 1", "clicks", raw(event("clicks", event_time="0001-01-01T00:00:00+23:59")),
         RejectReason.BEFORE_FLOOR, (("$.event_time", ErrorCode.BEFORE_FLOOR),)),
    Case("before the floor, unknown field", "clicks", raw(event("clicks", event_time=0, x=1)),
         RejectReason.BEFORE_FLOOR, (("$.event_time", ErrorCode.BEFORE_FLOOR),)),
    Case("the year 9999", "orders", raw(event("orders", event_time="9999-12-31T23:59:59.999999-23:59")),
         RejectReason.IN_FUTURE, (("$.event_time", ErrorCode.IN_FUTURE),)),
    Case("a moment too far ahead", "social", raw(event("social", event_time=NOW + SKEW + 1)),
         RejectReason.IN_FUTURE, (("$.event_time", ErrorCode.IN_FUTURE),)),
)  # fmt: skip

_FIELDS = (
    *(
        _wrong(topic, ErrorCode.MISSING, field, REMOVED)
        for topic, fields in (
            ("clicks", ("event_id", "type", "event_time", "user_id", "campaign_id", "currency")),
            ("orders", ("event_id", "type", "event_time", "user_id", "order_id", "revenue_micros", "currency")),
            ("social", ("event_id", "type", "event_time", "user_id", "platform")),
        )
        for field in fields
    ),
    _wrong("clicks", ErrorCode.NOT_ALLOWED, "type", "order"),
    _wrong("clicks", ErrorCode.NOT_ALLOWED, "type", "Click", "in capitals"),
    _wrong("clicks", ErrorCode.NOT_ALLOWED, "type", "of length <= `, got `", "like msgspec's words"),
    _wrong("clicks", ErrorCode.WRONG_TYPE, "type", ["click"], "list"),
    _wrong("clicks", ErrorCode.WRONG_TYPE, "user_id", 7),
    _wrong("clicks", ErrorCode.TOO_SHORT, "user_id", ""),
    _wrong("clicks", ErrorCode.TOO_LONG, "user_id", "u" * 257),
    _wrong("clicks", ErrorCode.TOO_LONG, "campaign_id", "c" * 129),
    _wrong("clicks", ErrorCode.TOO_LONG, "channel", "c" * 65),
    *(
        _wrong("clicks", ErrorCode.CONTROL_CHARACTER, field, f"a{character}b", f"with {ord(character):#x}")
        for field in ("user_id", "event_id", "campaign_id", "channel", "page")
        for character in "\x00\n\x1f\x7f"
    ),
    _wrong("clicks", ErrorCode.TOO_SMALL, "cost_micros", -1),
    _wrong("clicks", ErrorCode.TOO_BIG, "cost_micros", 10**15 + 1),
    _wrong("clicks", ErrorCode.TOO_BIG, "cost_micros", 10**30, "beyond 64 bits"),
    _wrong("clicks", ErrorCode.WRONG_TYPE, "cost_micros", 1.5, "fraction"),
    _wrong("clicks", ErrorCode.WRONG_TYPE, "cost_micros", 1.0, "whole float"),
    _wrong("clicks", ErrorCode.WRONG_TYPE, "cost_micros", "1", "text"),
    _wrong("clicks", ErrorCode.WRONG_TYPE, "cost_micros", True, "true"),
    _wrong("clicks", ErrorCode.WRONG_FORMAT, "currency", "eur"),
    _wrong("clicks", ErrorCode.TOO_LONG, "currency", "EUR\n"),
    _wrong("clicks", ErrorCode.TOO_SHORT, "currency", "€"),
    _wrong("orders", ErrorCode.TOO_SMALL, "revenue_micros", -1),
    _wrong("orders", ErrorCode.TOO_SMALL, "quantity", 0),
    _wrong("orders", ErrorCode.WRONG_TYPE, "new_customer", 1),
    _wrong("social", ErrorCode.TOO_BIG, "sentiment", 1.01),
    _wrong("social", ErrorCode.TOO_SMALL, "sentiment", -2),
    _wrong("social", ErrorCode.TOO_BIG, "rating", 6),
    _wrong("social", ErrorCode.TOO_SMALL, "rating", 0),
    _wrong("social", ErrorCode.WRONG_TYPE, "rating", 4.5),
    _wrong("social", ErrorCode.TOO_LONG, "text", "t" * 10_001),
    Case("a refund of nothing", "orders", raw(event("orders", type="refund", revenue_micros=0)),
         RejectReason.INVALID_SCHEMA, (("$.revenue_micros", ErrorCode.TOO_SMALL),)),
    Case("everything at once", "clicks", raw({"type": "click", "event_time": "now", "user_id": 1, "cost_micros": -5,
                                              "email": "ada@example.org"}), RejectReason.INVALID_SCHEMA,
         (("$.event_id", ErrorCode.MISSING), ("$.event_time", ErrorCode.WRONG_FORMAT),
          ("$.user_id", ErrorCode.WRONG_TYPE), ("$.campaign_id", ErrorCode.MISSING),
          ("$.cost_micros", ErrorCode.TOO_SMALL))),
)  # fmt: skip

HOSTILE = (*_UNREADABLE, *_NOT_AN_EVENT, *_TIME, *_FIELDS)
