"""The exact totals that a run of events must lead to, counted without any of the flow's state.

A truth says how many records of each topic there are by outcome, and what every window must hold. It is counted while
a simulation makes its events, or recounted from a file of JSON lines (:func:`recount`), and compared with what the flow
published (:func:`compare`).

Easy to get wrong: ``accepted`` and ``late`` are one number here, ``counted``, because which of the two an event is
depends on the order in which its partition received it; windows count both alike. Days are UTC.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

from streams.counts import Counts, add, measure_of, money_of, window_fields

__all__ = ["LEVELS_MS", "UNKNOWN", "Truth", "compare", "load", "recount"]

LEVELS_MS = {"1m": 60_000, "5m": 300_000, "1h": 3_600_000, "1d": 86_400_000}
FINEST_MS = LEVELS_MS["1m"]
MONEY_OF = {"clicks": "cost_micros", "orders": "revenue_micros"}
UNKNOWN = "unknown"

Window = tuple[str, str, str | None, str, int]
"""Scope, channel, campaign (none at channel scope, empty for events without one), level, start."""


class Truth:
    """Totals so far.

    >>> truth = Truth()
    >>> truth.count("clicks", "click", 61_000, "search", "c1", 250_000, "EUR")
    >>> next(truth.windows())["spend_micros"]
    {'EUR': 250000}
    """

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """Records by topic and outcome: counted, duplicate, conflict, rejected."""
        self.rejects: Counter[tuple[str, str]] = Counter()
        """Rejected records by topic and reason."""
        self._minutes: dict[tuple[int, str, str], Counts] = {}

    def count(
        self, topic: str, kind: str, time_ms: int, channel: str, campaign_id: str, money: int, currency: str | None
    ) -> None:
        """Take an event that counts."""
        self.outcomes[topic, "counted"] += 1
        minute = (time_ms // FINEST_MS, channel, campaign_id)
        total = self._minutes.get(minute)
        if total is None:
            total = self._minutes[minute] = {}
        measure = measure_of(topic, kind)
        total[measure] = total.get(measure, 0) + 1
        if money and currency:
            measure = money_of(topic, kind, currency)
            total[measure] = total.get(measure, 0) + money

    def repeat(self, topic: str, *, conflict: bool = False) -> None:
        """Take a record whose event was there before: the same, or not quite."""
        self.outcomes[topic, "conflict" if conflict else "duplicate"] += 1

    def reject(self, topic: str, reason: str) -> None:
        """Take a record that no flow may count."""
        self.outcomes[topic, "rejected"] += 1
        self.rejects[topic, reason] += 1

    def windows(self) -> Iterator[dict[str, Any]]:
        """Yield every window that holds something, sorted."""
        windows: dict[Window, Counts] = {}
        for (minute, channel, campaign_id), counts in self._minutes.items():
            for level, length in LEVELS_MS.items():
                start = minute * FINEST_MS // length * length
                add(windows.setdefault(("channel", channel, None, level, start), {}), counts)
                add(windows.setdefault(("campaign", channel, campaign_id, level, start), {}), counts)
        for key in sorted(windows, key=lambda key: (*key[:2], key[2] or "", *key[3:])):
            names = ("scope", "channel", "campaign_id", "level", "start_ms")
            yield {**dict(zip(names, key, strict=True)), **window_fields(windows[key])}

    def totals(self) -> dict[str, Any]:
        """Return the sums over everything that counts."""
        total: Counts = {}
        for counts in self._minutes.values():
            add(total, counts)
        return window_fields(total)

    def as_dict(self) -> dict[str, Any]:
        """Return the content of a truth file."""
        outcomes = _nested(self.outcomes)
        return {
            "records": {topic: sum(by_outcome.values()) for topic, by_outcome in outcomes.items()},
            "outcomes": outcomes,
            "rejects": _nested(self.rejects),
            "totals": self.totals(),
            "windows": list(self.windows()),
        }

    def write(self, path: Path, **about: object) -> None:
        """Write the truth as JSON; ``about`` goes before it (which run it is the truth of)."""
        path.write_bytes(orjson.dumps({**about, **self.as_dict()}, option=orjson.OPT_INDENT_2) + b"\n")


def load(path: Path) -> dict[str, Any]:
    """Return what :meth:`Truth.write` wrote."""
    content: dict[str, Any] = orjson.loads(path.read_bytes())
    return content


def recount(topic: str, lines: Iterable[bytes], *, channels: Mapping[str, str] | None = None,
            truth: Truth | None = None) -> Truth:
    """Return the truth of a topic's valid events, one JSON object in each line.

    ``channels`` has the channel of each campaign, for events that name none. A second line with the user and id of an
    earlier one is a duplicate or a conflict, however far apart the two are. With ``truth``, adds to it.
    """
    truth = Truth() if truth is None else truth
    seen: dict[tuple[str, str], bytes] = {}
    for line in lines:
        event = orjson.loads(line)
        identity = (event["user_id"], event["event_id"])
        digest = blake2b(orjson.dumps(event, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()
        if identity in seen:
            truth.repeat(topic, conflict=seen[identity] != digest)
        else:
            seen[identity] = digest
            campaign_id = event.get("campaign_id") or ""
            channel = event.get("channel") or (channels or {}).get(campaign_id) or UNKNOWN
            money = event.get(MONEY_OF.get(topic, "")) or 0
            truth.count(topic, event["type"], _time_ms(event["event_time"]), channel, campaign_id, money,
                        event.get("currency"))
    return truth


def compare(truth: Truth | Mapping[str, Any], windows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return in what published windows differ from the truth, one line each; none means they agree.

    Of several records of a window the highest revision counts, as for every reader of ``campaign.windows``. Windows of
    levels the truth does not have are left alone, and so are windows that hold nothing.
    """
    expected = truth.windows() if isinstance(truth, Truth) else truth["windows"]
    wanted = {_key(window): _measures(window) for window in expected}
    newest: dict[Window, Mapping[str, Any]] = {}
    for window in windows:
        if window["level"] in LEVELS_MS:
            key = _key(window)
            if key not in newest or window["revision"] >= newest[key]["revision"]:
                newest[key] = window
    found = {key: _measures(window) for key, window in newest.items()}
    differences = []
    for key in sorted(wanted.keys() | found.keys(), key=str):
        want, have = wanted.get(key, {}), found.get(key, {})
        wrong = [f"{m} is {have.get(m, 0)}, not {want.get(m, 0)}" for m in sorted(want.keys() | have.keys())
                 if want.get(m, 0) != have.get(m, 0)]
        if wrong:
            missing = "" if key in found else " (not published)"
            differences.append(f"{_name(key)}{missing}: {'; '.join(wrong)}")
    return differences


def _key(window: Mapping[str, Any]) -> Window:
    campaign_id = window["campaign_id"] or "" if window["scope"] == "campaign" else None
    return (window["scope"], window["channel"], campaign_id, window["level"], window["start_ms"])


def _name(key: Window) -> str:
    scope, channel, campaign_id, level, start = key
    return f"{scope} {channel}{'/' + campaign_id if campaign_id else ''} {level} from {start}"


def _measures(window: Mapping[str, Any]) -> Counts:
    """Return every count of a window that is not zero, by field and part."""
    measures: Counts = {}
    for field in window_fields({}):
        value = window.get(field) or 0
        for name, count in value.items() if isinstance(value, Mapping) else ((None, value),):
            if count:
                measures[field if name is None else f"{field}.{name}"] = count
    return measures


def _time_ms(event_time: int | str) -> int:
    if isinstance(event_time, int):
        return event_time
    moment = datetime.fromisoformat(event_time)
    return int(moment.replace(microsecond=0).timestamp()) * 1_000 + moment.microsecond // 1_000


def _nested(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (first, second), count in sorted(counts.items()):
        nested.setdefault(first, {})[second] = count
    return nested
