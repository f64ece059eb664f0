"""What goes wrong on the way: repeats, contradictions, and bytes that no sender should have sent.

Repeats are picked from the last few hundred records (a retry that came at once) or from a sample of everything up to
``REPEAT_WITHIN_MS`` old (a queue that was flushed later). Every hostile record is surely rejected, and for one reason
that the corpus names, so the truth can count it.

Easy to get wrong: a repeat must go to the partition of its first, so it keeps the key; and it must not be older than
the shortest dedupe horizon anyone runs with, or "duplicate" would be a guess.
"""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

import orjson

__all__ = ["HOSTILE", "REPEAT_WITHIN_MS", "Hostile", "Past", "Sent", "contradict", "hostile"]

REPEAT_WITHIN_MS = 6 * 3_600_000
"""A quarter of the default dedupe horizon."""

RECENT = 512
SAMPLE = 8_192
SAMPLED_EVERY = 16
OVERSIZE_SHARE = 0.004
"""Records of 300 KiB among the hostile ones: more would measure the network, not the flow."""


class Sent(NamedTuple):
    """One record that was made: ``time_ms`` is when it was sent, not what it says."""

    time_ms: int
    topic: str
    key: bytes
    value: bytes


class Past:
    """Records that may be sent again."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._recent: list[Sent] = []
        self._sample: list[Sent] = []
        self._made = 0

    def keep(self, sent: Sent) -> None:
        """Remember a record whose event counts."""
        self._made += 1
        if len(self._recent) < RECENT:
            self._recent.append(sent)
        else:
            self._recent[self._made % RECENT] = sent
        if self._made % SAMPLED_EVERY == 0:
            if len(self._sample) < SAMPLE:
                self._sample.append(sent)
            else:
                self._sample[int(self._random.random() * SAMPLE)] = sent

    def pick(self, now_ms: int) -> Sent | None:
        """Return an earlier record, ``None`` when there is none yet that is young enough."""
        random = self._random.random
        for pool in (self._sample, self._recent) if random() < 0.5 else (self._recent,):
            if pool:
                sent = pool[int(random() * len(pool))]
                if now_ms - sent.time_ms <= REPEAT_WITHIN_MS:
                    return sent
        return None


def contradict(sent: Sent) -> bytes:
    """Return another event under the id of ``sent``: one known field differs.

    >>> contradict(Sent(0, "orders", b"u1", b'{"event_id":"e","revenue_micros":5}'))
    b'{"event_id":"e","revenue_micros":10005}'
    """
    fields = orjson.loads(sent.value)
    if sent.topic == "orders":
        fields["revenue_micros"] += 10_000
    elif sent.topic == "social":
        fields["platform"] = "another"
    else:
        fields["page"] = "/another"
    return orjson.dumps(fields)


class Hostile(NamedTuple):
    """One kind of bad record: its name, why it is rejected, and how a good event is made into it."""

    name: str
    reason: str
    make: Callable[[bytes], bytes | None]


def _with(**changes: object) -> Callable[[bytes], bytes]:
    """Return how to change fields of a good event (``...`` removes one)."""

    def make(good: bytes) -> bytes:
        fields = {**orjson.loads(good), **changes}
        return orjson.dumps({name: value for name, value in fields.items() if value is not ...})

    return make


def _raw(field: str, text: bytes) -> Callable[[bytes], bytes]:
    """Return how to set a field to JSON text that no encoder would write."""

    def make(good: bytes) -> bytes:
        fields = orjson.loads(good)
        fields.pop(field, None)
        return b'{"%b":%b,' % (field.encode(), text) + orjson.dumps(fields)[1:]

    return make


def _fixed(record: bytes | None) -> Callable[[bytes], bytes | None]:
    return lambda _: record


HOSTILE = (
    Hostile("no value", "empty", _fixed(None)),
    Hostile("no bytes", "empty", _fixed(b"")),
    Hostile("not UTF-8", "not_utf8", _fixed(b"\xff\xfe{\x00}\x00")),
    Hostile("not UTF-8 in a string", "not_utf8", _raw("user_id", b'"\xc3\x28"')),
    Hostile("a word", "malformed", _fixed(b"hello")),
    Hostile("cut off", "malformed", lambda good: good[: len(good) // 2]),
    Hostile("two objects", "malformed", lambda good: good + good),
    Hostile("deep nesting", "malformed", _fixed(b"[" * 100_000)),
    Hostile("deep nesting of objects", "malformed", _fixed(b'{"a":' * 20_000)),
    Hostile("not a number", "malformed", _raw("revenue_micros", b"NaN")),
    Hostile("infinity", "malformed", _raw("cost_micros", b"-Infinity")),
    Hostile("lone surrogate", "malformed", _raw("user_id", b'"\\ud800"')),
    Hostile("zero byte", "malformed", lambda good: good[:-1] + b"\x00}"),
    Hostile("null", "invalid_schema", _fixed(b"null")),
    Hostile("a list", "invalid_schema", lambda good: b"[" + good + b"]"),
    Hostile("an empty object", "invalid_schema", _fixed(b"{}")),
    Hostile("nobody", "invalid_schema", _with(user_id=...)),
    Hostile("a user that is a number", "invalid_schema", _with(user_id=7)),
    Hostile("no id", "invalid_schema", _with(event_id="")),
    Hostile("unknown type", "invalid_schema", _with(type="teleport")),
    Hostile("negative money", "invalid_schema", _with(cost_micros=-1, revenue_micros=-1, rating=-1, currency="EUR")),
    Hostile("a number beyond 64 bits", "invalid_schema", _raw("event_time", b"9" * 40)),
    Hostile("a click on nothing", "invalid_schema", _with(type="click", campaign_id=...)),
    Hostile("a refund of nothing", "invalid_schema", _with(type="refund", revenue_micros=0)),
    Hostile("a control character", "invalid_schema", _with(user_id="u\0007")),
    Hostile("an endless name", "invalid_schema", _with(event_id="e" * 5_000)),
    Hostile("time that is none", "invalid_schema", _with(event_time="yesterday")),
    Hostile("time without offset", "invalid_schema", _with(event_time="2026-01-01T00:00:00")),
    Hostile("time that is true", "invalid_schema", _with(event_time=True)),
    Hostile("before the floor", "before_floor", _with(event_time=1)),
    Hostile("the year 9999", "in_future", _with(event_time=253_402_300_799_000)),
    Hostile("the year 9999 as text", "in_future", _with(event_time="9999-12-31T23:59:59Z")),
)
"""What a worker must survive, apart from sheer size; tests run all of it."""

OVERSIZE = Hostile("300 KiB", "too_large", lambda good: good[:-1] + b',"pad":"' + b"x" * 307_200 + b'"}')


def hostile(random: Random, good: bytes) -> tuple[bytes | None, str]:
    """Return a hostile record and the reason it must be rejected for."""
    draw = random.random()
    kind = OVERSIZE if draw < OVERSIZE_SHARE else HOSTILE[int(random.random() * len(HOSTILE))]
    return kind.make(good), kind.reason
