"""Windows: identity, state and revision of what is published, and when they may go."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.windows import LEVELS, CampaignWindow
from streams.windows import LEVEL_MS, Window, WindowKey, WindowTable, keys_of, record_of, window_end
from tests.streams.harness import BASE

ONE: WindowKey = ("channel", "search", "", "1m", BASE)
FIVE: WindowKey = ("channel", "search", "", "5m", BASE)
MINUTE = 60_000


def add(table: WindowTable, key: WindowKey, **counts: int) -> None:
    """Add to a window, durably."""
    overlay: dict[WindowKey, Window] = {}
    table.changed(overlay, key, counts)
    keep(table, overlay)


def keep(table: WindowTable, overlay: dict[WindowKey, Window]) -> None:
    for raw_key, raw in table.encode(overlay):
        table.put(raw_key, raw)


def said(table: WindowTable, final_until: int | None = None, most: int = 100) -> list[tuple[WindowKey, int, str]]:
    """Publish what is due, durably."""
    due = table.due(final_until, most)
    keep(table, due)
    return [(key, window.revision, window.state) for key, window in due.items()]


@given(st.integers(0, 10**13))
def test_a_moment_belongs_to_one_window_of_each_level_and_scope(moment: int) -> None:
    """The windows hold the moment, begin at multiples of their length, and nest."""
    keys = list(keys_of("search", "c1", moment))
    assert len(set(keys)) == len(keys) == 2 * len(LEVELS)
    assert {key[:3] for key in keys} == {("channel", "search", ""), ("campaign", "search", "c1")}
    for key in keys:
        assert key[4] <= moment < window_end(key)
        assert key[4] % LEVEL_MS[key[3]] == 0
    ends = [window_end(key) for key in keys if key[0] == "channel"]
    assert ends == sorted(ends)


def test_levels_are_those_of_the_contract() -> None:
    """Every published level has a length."""
    assert tuple(LEVEL_MS) == LEVELS


@pytest.mark.parametrize(
    ("channel", "campaign", "name"),
    [("search", "c1", "campaign/search/c1/1m/60000"), ("a/b", "ü %", "campaign/a%2Fb/%C3%BC%20%25/1m/60000"),
     ("unknown", "", "campaign/unknown//1m/60000")],
)  # fmt: skip
def test_record_names_are_unmistakable(channel: str, campaign: str, name: str) -> None:
    """Slashes and spaces in names cannot make two windows look like one."""
    key, value = record_of(("campaign", channel, campaign, "1m", MINUTE), Window({}, 1), None)
    window = msgspec.json.decode(value, type=CampaignWindow)
    assert (key.decode(), window.id, window.channel, window.campaign_id) == (name, name, channel, campaign)


def test_record_says_everything() -> None:
    """Counts by field, money by currency; a channel's window names no campaign."""
    counts = {"clicks": 2, "spend:EUR": 5, "spend:JPY": 7, "refund:EUR": 1, "revenue:EUR": 9, "interactions:like": 3}
    _, value = record_of(ONE, Window(counts, 4, "revised"), 77)
    assert msgspec.json.decode(value, type=CampaignWindow) == CampaignWindow(
        id=f"channel/search//1m/{BASE}", scope="channel", channel="search", campaign_id=None, level="1m",
        start_ms=BASE, end_ms=BASE + MINUTE, state="revised", revision=4, watermark_ms=77, clicks=2,
        spend_micros={"EUR": 5, "JPY": 7}, revenue_micros={"EUR": 9}, refund_micros={"EUR": 1},
        interactions={"like": 3},
    )  # fmt: skip


def test_life_of_a_window() -> None:
    """Provisional while it changes, final once, then revised; each publication has the next revision."""
    table = WindowTable()
    add(table, ONE, clicks=1)
    assert said(table) == [(ONE, 1, "provisional")]
    assert said(table) == []
    add(table, ONE, clicks=1)
    assert said(table, BASE + MINUTE - 1) == [(ONE, 2, "provisional")]
    assert said(table, BASE + MINUTE) == [(ONE, 3, "final")]
    assert said(table, BASE + MINUTE) == []
    add(table, ONE, clicks=1)
    assert said(table, BASE + MINUTE) == [(ONE, 4, "revised")]
    add(table, ONE, clicks=1)
    assert said(table, BASE + MINUTE) == [(ONE, 5, "revised")]
    assert table.windows[ONE].counts == {"clicks": 4}


def test_final_with_its_last_change_is_said_once() -> None:
    """A window that changed and is over is published once, as final."""
    table = WindowTable()
    add(table, ONE, clicks=1)
    assert said(table, BASE + MINUTE) == [(ONE, 1, "final")]
    assert said(table, BASE + MINUTE) == []


def test_levels_end_by_themselves() -> None:
    """The minute is final while the five minutes still run."""
    table = WindowTable()
    add(table, ONE, clicks=1)
    add(table, FIVE, clicks=1)
    assert set(said(table, BASE + MINUTE)) == {(ONE, 1, "final"), (FIVE, 1, "provisional")}
    assert said(table, BASE + 5 * MINUTE) == [(FIVE, 2, "final")]


def test_publications_are_bounded() -> None:
    """What does not fit comes next time, the oldest ends first."""
    table = WindowTable()
    keys: list[WindowKey] = [("channel", "search", "", "1m", BASE + n * MINUTE) for n in range(5)]
    for key in reversed(keys):
        add(table, key, clicks=1)
    until = BASE + 3 * MINUTE
    assert said(table, until, 2) == [(keys[0], 1, "final"), (keys[1], 1, "final")]
    assert said(table, until, 2)[0] == (keys[2], 1, "final")
    assert len(said(table, until, 2)) == 1
    assert said(table, until, 2) == []


def test_due_that_was_thrown_away_comes_again() -> None:
    """A publication that did not become durable is found again when the partition is opened."""
    table = WindowTable()
    add(table, ONE, clicks=1)
    assert table.due(BASE + MINUTE, 10)[ONE].state == "final"
    table.reindex()
    assert said(table, BASE + MINUTE) == [(ONE, 1, "final")]


def test_changes_stay_in_the_overlay() -> None:
    """A step that is thrown away has changed no window."""
    table = WindowTable()
    add(table, ONE, clicks=1)
    overlay: dict[WindowKey, Window] = {}
    table.changed(overlay, ONE, {"clicks": 5})
    table.changed(overlay, ONE, {"clicks": 5})
    assert (table.windows[ONE].counts, overlay[ONE].counts) == ({"clicks": 1}, {"clicks": 11})


@pytest.mark.parametrize("restart", [False, True])
def test_finished_windows_are_evicted_oldest_first(restart: bool) -> None:
    """Only what is over, final and published may go, also after a restart."""
    table = WindowTable()
    keys: list[WindowKey] = [("channel", "search", "", "1m", BASE + n * MINUTE) for n in range(4)]
    for key in keys:
        add(table, key, clicks=1)
    said(table, BASE + 3 * MINUTE)
    if restart:
        table = restored(table)
    raw = [raw_key for raw_key, _ in table.encode(table.windows)]
    assert table.evictable(BASE + MINUTE - 1, 10) == []
    assert table.evictable(BASE + 9 * MINUTE, 2) == raw[:2]
    assert table.evictable(BASE + 9 * MINUTE, 2) == raw[2:3]
    for raw_key in raw[:3]:
        table.put(raw_key, None)
    assert set(table.windows) == {keys[3]}
    assert table.evictable(BASE + 9 * MINUTE, 2) == []


def test_windows_of_campaigns_are_found_by_their_start() -> None:
    """Rolling sums ask for them every second; the channel's own windows and evicted ones are not among them."""
    table = WindowTable()
    keys: list[WindowKey] = [("campaign", "search", name, "1m", BASE) for name in ("c1", "c2")]
    for key in (*keys, ONE, FIVE, keys[0]):
        add(table, key, clicks=1)
    assert {key: window.counts for key, window in table.of_campaigns("1m", BASE)} == {
        keys[0]: {"clicks": 2}, keys[1]: {"clicks": 1},
    }  # fmt: skip
    [raw_key] = [raw for raw, _ in table.encode({keys[0]: table.windows[keys[0]]})]
    for _ in range(2):
        table.put(raw_key, None)
    assert [key for key, _ in table.of_campaigns("1m", BASE)] == keys[1:]
    assert list(table.of_campaigns("5m", BASE)) == []
    table.clear()
    assert list(table.of_campaigns("1m", BASE)) == []


def test_a_correction_is_said_before_its_window_goes() -> None:
    """A revised window that waits for its publication is kept."""
    table = WindowTable()
    add(table, ONE, clicks=1)
    said(table, BASE + MINUTE)
    add(table, ONE, clicks=1)
    assert table.evictable(BASE + 9 * MINUTE, 10) == []
    said(table, BASE + MINUTE)
    assert len(table.evictable(BASE + 9 * MINUTE, 10)) == 1


def restored(table: WindowTable) -> WindowTable:
    copy = WindowTable()
    for raw_key, raw in sorted(table.dump()):
        copy.put(raw_key, raw)
    copy.reindex()
    return copy


def test_dump_restores_everything() -> None:
    """Counts, revisions, states and what waits to be said come back, in any order."""
    table = WindowTable()
    for key in (FIVE, ONE):
        add(table, key, clicks=1)
    said(table, BASE + MINUTE)
    add(table, ONE, clicks=1)
    copy = restored(table)
    assert (copy.windows, copy.dirty) == (table.windows, {ONE})
    assert said(copy, BASE + 5 * MINUTE) == [(FIVE, 2, "final"), (ONE, 2, "revised")]
