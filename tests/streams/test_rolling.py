"""Rolling windows against a recount of every event, and how long single panes are kept."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.counts import Counts
from streams.panes import PANE_MS, Pane
from streams.rolling import (
    MEMORY_MS,
    ROLLING_MS,
    RecentPanes,
    Scope,
    closed_end,
    cover,
    needed_behind,
    rolling_counts,
)
from streams.windows import LEVEL_MS, Window, WindowKey, WindowTable, keys_of
from tests.streams.harness import BASE

MINUTE = 60_000
Event = tuple[int, str, str, int]
"""Seconds before the end, channel, campaign, clicks."""
NAMED = {("search", "c1"): "c1", ("email", "c1"): "c1", ("search", ""): "unknown"}


def tables(events: list[Event], end: int) -> tuple[RecentPanes, WindowTable]:
    """Return recent panes and windows that hold the events."""
    recent, windows = RecentPanes(0), WindowTable()
    for back, channel, campaign, clicks in events:
        time, counts = end - back * 1_000, {"clicks": clicks}
        panes: dict[Pane, Counts] = {}
        overlay: dict[WindowKey, Window] = {}
        recent.changed(panes, ("", time - time % PANE_MS, channel, campaign), counts, end)
        for raw_key, raw in recent.encode(panes):
            recent.put(raw_key, raw)
        for key in keys_of(channel, campaign, time):
            windows.changed(overlay, key, counts)
        for raw_key, raw in windows.encode(overlay):
            windows.put(raw_key, raw)
    return recent, windows


events = st.lists(
    st.tuples(
        st.integers(-120, 400) | st.integers(3_400, 3_800) | st.integers(86_200, 86_600) | st.integers(-120, 90_000),
        st.sampled_from(["search", "email"]),
        st.sampled_from(["c1", "c2", ""]),
        st.integers(1, 9),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(events, st.integers(0, 12))
def test_against_a_recount(made: list[Event], tens: int) -> None:
    """Each rolling window is the sum of what lies in it; the long ones begin at the first whole minute."""
    end = BASE + 90_000_000 + tens * PANE_MS
    wanted: defaultdict[Scope, defaultdict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for back, channel, campaign, clicks in made:
        time = end - back * 1_000
        for window, length in ROLLING_MS.items():
            begin = end - length
            if length >= ROLLING_MS["1h"]:
                begin += -begin % MINUTE
            if begin <= time < end:
                wanted["channel", channel, ""][window]["clicks"] += clicks
                shown = NAMED.get((channel, campaign), "other")
                wanted["campaign", channel, shown][window]["clicks"] += clicks
    assert rolling_counts(*tables(made, end), end, NAMED) == {scope: dict(found) for scope, found in wanted.items()}


@given(st.integers(0, 3_000), st.integers(0, 1_440))
def test_cover_is_a_span_of_few_windows(begin: int, length: int) -> None:
    """The windows follow each other from begin to end; a day needs no more than five dozen."""
    cursor, pieces = begin * MINUTE, list(cover(begin * MINUTE, (begin + length) * MINUTE))
    for level, start in pieces:
        assert start == cursor
        cursor += LEVEL_MS[level]
    assert cursor == (begin + length) * MINUTE
    assert len(pieces) <= 60


def test_a_ratio_of_nothing_is_not_made() -> None:
    """Where nothing happened there is no entry, so no zero that looks like a measurement."""
    found = rolling_counts(*tables([(100, "search", "c1", 1)], BASE), BASE, NAMED)
    assert set(found["channel", "search", ""]) == {"5m", "1h", "24h"}


@pytest.mark.parametrize("delay", [0, 3_600_000])
def test_panes_are_kept_as_long_as_they_are_shown(delay: int) -> None:
    """Whatever the delay, what the longest sum of panes needs is there; what is older goes."""
    recent = RecentPanes(delay)
    watermark = BASE + delay
    end = closed_end(watermark, delay)
    assert end == BASE
    needed, old = end - 300_000, end - MEMORY_MS
    overlay: dict[Pane, Counts] = {}
    for start in (needed, old, end):
        recent.changed(overlay, ("", start, "search", "c1"), {"clicks": 1}, None)
    for key, value in recent.encode(overlay):
        recent.put(key, value)
    expired = list(recent.expired(watermark))
    for key in expired:
        recent.put(key, None)
    assert set(recent.starts) == {needed, end}
    assert rolling_counts(recent, WindowTable(), end, {})["channel", "search", ""]["5m"] == {"clicks": 1}
    late: dict[Pane, Counts] = {}
    recent.changed(late, ("", old, "search", "c1"), {"clicks": 1}, watermark)
    assert late == {}


def test_nothing_expires_without_a_watermark() -> None:
    """Before there is a watermark nothing is old."""
    recent, _ = tables([(0, "search", "c1", 1)], 0)
    assert list(recent.expired(None)) == []


def test_needed_behind_covers_the_day() -> None:
    """At every phase of the minute the first window of 24 h is still kept, and its end is not yet evicted."""
    for delay in (0, 2_000, 3_600_000):
        for phase in range(0, 2 * MINUTE, 1_000):
            watermark = BASE + phase
            end = closed_end(watermark, delay)
            assert end is not None
            oldest = end - ROLLING_MS["24h"]
            oldest += -oldest % MINUTE
            assert oldest + MINUTE > watermark - needed_behind(delay)


def test_recent_panes_go_through_bytes() -> None:
    """A new owner shows what the old one showed."""
    recent, _ = tables([(5, "search", "c1", 1), (5, "email", "", 2), (70, "search", "c1", 4)], BASE)
    copy = RecentPanes(0)
    for key, value in sorted(recent.dump()):
        copy.put(key, value)
    assert copy.starts == recent.starts
    copy.clear()
    assert list(copy.dump()) == []


@pytest.mark.parametrize(("watermark", "end"), [(None, None), (12_000, 10_000), (11_999, 0), (22_001, 20_000)])
def test_closed_end(watermark: int | None, end: int | None) -> None:
    """The newest closed pane ends at or before the watermark less the delay."""
    assert closed_end(watermark, 2_000) == end
