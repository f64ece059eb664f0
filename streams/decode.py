"""Raw bytes become an event or a reject: size, syntax, schema, rules between fields, fixed bounds of time.

Any bytes at all give exactly one of the two; nothing is raised. Most records take the fast path: one msgspec decode.
What that path does not understand (unknown fields, anything wrong) goes to :mod:`streams.decode_slow`, which decides
alone; the fast path is only a shortcut to the same answer.

The rule easy to get wrong: time is judged against Kafka's time of the record, never against a clock, so a replay judges
the same. A record without a Kafka time gives no bound to judge by: it is rejected as ``in_future``.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from schemas.dead_letters import FieldError
from schemas.events import INPUTS, Event, broken_rules
from schemas.reasons import ErrorCode, RejectReason
from streams.decode_slow import Decoded, Reject, SlowDecoder, has_control_character

__all__ = ["Decoded", "Decoder", "Reject", "epoch_ms"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_BACKSLASH, _DELETE = b"\\\x7f"  # as numbers: ten times faster to look for than as bytes


def epoch_ms(time: datetime) -> int:
    """Return a moment as epoch milliseconds, cut (not rounded), so that it never lands in the next window.

    >>> epoch_ms(datetime.fromisoformat("1969-12-31T23:59:59.999999+00:00"))
    -1
    """
    return (time - _EPOCH) // _MS


class Decoder:
    """Decodes the records of one input topic.

    >>> decoder = Decoder("clicks", floor_ms=0, skew_ms=600_000, max_bytes=262_144)
    >>> raw = b'{"event_id":"e1","type":"pageview","event_time":"1997-01-01T01:00:00+01:00","user_id":"u1"}'
    >>> decoder.decode(raw, 852_076_800_000).event.event_time
    852076800000
    >>> [error.path for error in decoder.decode(b'{"type":"click","cost_micros":-1}', 0).errors]
    ['$.event_id', '$.event_time', '$.user_id', '$.campaign_id', '$.cost_micros']
    """

    def __init__(self, topic: str, *, floor_ms: int, skew_ms: int, max_bytes: int) -> None:
        """Take the topic (contract name), the bounds of event time and the size limit.

        Args:
            topic: one of :data:`schemas.events.INPUTS`.
            floor_ms: events before this moment are rejected, epoch ms.
            skew_ms: how far an event may lie after its record's Kafka time.
            max_bytes: larger records are rejected unread.
        """
        self._floor_ms = floor_ms
        self._skew_ms = skew_ms
        self._max_bytes = max_bytes
        self._strict = msgspec.json.Decoder(INPUTS[topic]).decode
        self._broken = broken_rules(topic)
        self._slow = SlowDecoder(topic)

    def decode(self, raw: bytes | None, timestamp_ms: int) -> Decoded | Reject:
        """Return the event in a record's value, or why there is none.

        Args:
            raw: the record's value.
            timestamp_ms: Kafka's time of the record, epoch ms.
        """
        if not raw:
            return _whole(RejectReason.EMPTY, ErrorCode.EMPTY, "the record has no value")
        if len(raw) > self._max_bytes:
            detail = f"expected at most {self._max_bytes} bytes; got {len(raw)}"
            return _whole(RejectReason.TOO_LARGE, ErrorCode.TOO_LARGE, detail)
        try:
            event: Event = self._strict(raw)
        except (ValueError, RecursionError):
            return self._decode_slowly(raw, timestamp_ms)
        # Control characters can only come from an escape sequence, or be the one (DEL) that JSON lets through.
        if (_BACKSLASH in raw or _DELETE in raw) and has_control_character(event):
            return self._decode_slowly(raw, timestamp_ms)
        if self._broken(event):
            return self._decode_slowly(raw, timestamp_ms)
        time: Any = event.event_time
        if type(time) is int and self._floor_ms <= time <= timestamp_ms + self._skew_ms:
            return Decoded(event, {})
        return self._check_time(Decoded(event, {}), timestamp_ms)

    def _decode_slowly(self, raw: bytes, timestamp_ms: int) -> Decoded | Reject:
        decoded = self._slow.decode(raw)
        return decoded if isinstance(decoded, Reject) else self._check_time(decoded, timestamp_ms)

    def _check_time(self, decoded: Decoded, timestamp_ms: int) -> Decoded | Reject:
        event = decoded.event
        time: Any = event.event_time
        if isinstance(time, datetime):
            event.event_time = epoch_ms(time)
        if self._floor_ms <= event.event_time <= timestamp_ms + self._skew_ms:
            return decoded
        return self._reject_time(event, timestamp_ms)

    def _reject_time(self, event: Event, timestamp_ms: int) -> Reject:
        if event.event_time < self._floor_ms:
            detail = f"expected no earlier than {self._floor_ms} (epoch ms)"
            error = FieldError("$.event_time", ErrorCode.BEFORE_FLOOR, detail)
            return Reject(RejectReason.BEFORE_FLOOR, [error], event.type)
        detail = f"expected no later than {self._skew_ms} ms after the record's Kafka time, {timestamp_ms}"
        if timestamp_ms < 0:
            detail = "the record has no Kafka time to compare with; have the producer or the topic set one"
        error = FieldError("$.event_time", ErrorCode.IN_FUTURE, detail)
        return Reject(RejectReason.IN_FUTURE, [error], event.type)


def _whole(reason: RejectReason, code: ErrorCode, detail: str) -> Reject:
    return Reject(reason, [FieldError("$", code, detail)])
