"""The merge partition: publications, their repetition after a crash, eviction, and what is on display."""

import msgspec
import pytest

from schemas.windows import CampaignWindow
from streams import merge
from streams.panes import Closed, PaneBatch, Row, SourceMark
from tests.streams.harness import BASE, Crash, Flow, Owned, settings

TOPICS = ("clicks", "orders", "social")
HOUR = 3_600_000


class Merging:
    """A flow of one partition, of which only the merge step works: its `panes` are written by hand."""

    def __init__(self, **changes: int) -> None:
        self.flow = Flow(settings(partitions=1, **changes))
        self.owned: Owned = self.flow.merge[0]
        self.offset = 0

    def say(self, clicks: int = 0, *, second: int = 0, watermark: int | None = None, campaign: str = "c1") -> None:
        """Add clicks at a second after the base and move the watermark; then merge it."""
        self.offset += 1
        pane = ("clicks", (BASE + second * 1_000) // 10_000 * 10_000, "search", campaign)
        rows = [(pane, Row(self.offset, self.offset, {"clicks": clicks}))] if clicks else []
        mark = None if watermark is None else BASE + watermark * 1_000
        marks = [SourceMark(topic, 0, mark, topic != "clicks", Closed()) for topic in TOPICS]
        self.flow.send("panes", msgspec.msgpack.encode(PaneBatch(0, 1, marks, rows, 0)))
        self.owned.read("panes")

    def tick(self, seconds: float = 1.0, crash: Crash | None = None) -> list[CampaignWindow]:
        """Let time pass; return what was published in the minutes of the campaign."""
        before = len(self.flow.topics["campaign.windows", 0])
        self.flow.now += seconds
        while self.owned.tick(crash=crash) and crash is None:
            pass
        published = list(self.flow.published())[before:]
        return [window for window in published if window.level == "1m" and window.scope == "campaign"]

    def states(self) -> list[tuple[int, str, int]]:
        return [(window.revision, window.state, window.clicks) for window in self.tick()]


def test_life_of_a_window() -> None:
    """Provisional, final when the watermark has passed it by the lateness, then revised; nothing is said twice."""
    made = Merging()
    made.say(3, watermark=10)
    assert made.states() == [(1, "provisional", 3)]
    assert made.states() == []
    made.say(2, watermark=119)
    assert made.states() == [(2, "provisional", 5)]
    made.say(watermark=120)
    assert made.states() == [(3, "final", 5)]
    made.say(1, watermark=300)
    assert made.states() == [(4, "revised", 6)]
    assert made.states() == []


def test_publications_keep_their_distance() -> None:
    """Once a second at most."""
    made = Merging()
    made.say(1)
    assert len(made.tick()) == 1
    made.say(1)
    assert made.tick(0.9) == []
    assert len(made.tick(0.2)) == 1


def test_large_publications_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """More windows than fit into one step leave in several, all in one tick of the lane."""
    monkeypatch.setattr(merge, "PUBLISHED_AT_ONCE", 3)
    made = Merging()
    for minute in range(5):
        made.say(1, second=60 * minute)
    assert len(made.tick()) == 5
    assert max(len(group) for group in made.owned.groups if group[-1][0] == b"o") == 4


@pytest.mark.parametrize("from_disk", [False, True])
@pytest.mark.parametrize("crash", [Crash.AFTER_COMMIT, Crash.HALFWAY, Crash.AT_THE_END])
def test_a_publication_that_may_not_have_left_leaves_again(crash: Crash, from_disk: bool) -> None:
    """After a crash between the durable revision and its publication the same record is published."""
    made = Merging()
    made.say(3, watermark=10)
    assert len(made.tick(crash=crash)) == (crash is Crash.AT_THE_END)
    made.owned.take_over(from_disk=from_disk)
    assert made.states() == [(1, "provisional", 3)]
    assert made.states() == []


def test_what_leaves_again_is_the_same_to_the_byte() -> None:
    """Also the watermark, which may have moved since."""
    made = Merging()
    made.say(3, watermark=10)
    made.tick()
    made.say(watermark=50)
    before = made.flow.rows("campaign.windows")
    made.owned.take_over()
    made.tick()
    assert made.flow.rows("campaign.windows")[len(before) :] == before


@pytest.mark.parametrize("takes_first", [False, True])
def test_one_revision_never_has_two_contents(takes_first: bool) -> None:
    """What changed since the last publication is not said under the old number, whichever comes first."""
    made = Merging()
    made.say(3, watermark=10)
    made.tick()
    if not takes_first:
        made.say(4)
    made.owned.take_over()
    if takes_first:
        made.say(4)
    assert made.states() == ([(1, "provisional", 3)] if takes_first else []) + [(2, "provisional", 7)]


def test_a_publication_that_was_not_durable_has_no_number() -> None:
    """A crash before the commit leaves the revision to the next publication."""
    made = Merging()
    made.say(3, watermark=200)
    assert made.tick(crash=Crash.BEFORE_COMMIT) == []
    made.owned.take_over()
    assert made.states() == [(1, "final", 3)]


def test_the_same_object_opened_again_finds_what_is_due() -> None:
    """A publication that was fenced is due again when the partition comes back to the same worker."""
    made = Merging()
    made.say(3, watermark=200)
    made.tick(crash=Crash.BEFORE_COMMIT)
    made.owned.partition.opened(9, {}, made.flow.now)
    assert made.states() == [(1, "final", 3)]


def test_evicted_windows_are_gone_with_their_publication_kept() -> None:
    """Beyond the horizon a window leaves memory; the topic keeps its last revision."""
    made = Merging(revision_horizon_ms=30 * HOUR, dedupe_horizon_ms=30 * HOUR)
    made.say(3, watermark=10)
    made.tick()
    made.say(1, second=31 * 3_600, watermark=30 * 3_600 + 59)
    made.tick()
    assert ("campaign", "search", "c1", "1m", BASE) in made.owned.merge.windows.windows
    made.say(watermark=30 * 3_600 + 60)
    assert made.tick() == []
    assert ("campaign", "search", "c1", "1m", BASE) not in made.owned.merge.windows.windows
    assert ("campaign", "search", "c1", "1d", BASE) in made.owned.merge.windows.windows
    assert made.owned.merge.merged.evicted_until == BASE + 60_000
    made.say(5)
    made.tick()
    assert made.flow.metrics.unwindowed == {0: 2 * 5}
    made.owned.take_over()
    assert made.owned.merge.merged.unwindowed == 10


def test_a_short_horizon_does_not_shorten_the_rolling_day() -> None:
    """Gauges over 24 h need their minutes, however early windows cannot be revised any more."""
    made = Merging(revision_horizon_ms=HOUR, dedupe_horizon_ms=HOUR, named_campaigns=1)
    for hour in range(23):
        made.say(1, second=hour * 3_600, watermark=hour * 3_600)
        made.tick()
    made.say(1, second=23 * 3_600, watermark=24 * 3_600 - 1)
    made.tick()
    rolling = made.flow.metrics.views[0].rolling()
    assert rolling["channel", "search", ""]["24h"] == {"clicks": 24}
    assert rolling["campaign", "search", "c1"]["24h"] == {"clicks": 24}


def test_display_appears_with_possession_and_goes_with_it() -> None:
    """A new owner shows the numbers without waiting for news; one that lost the partition shows nothing."""
    made = Merging(named_campaigns=1)
    made.say(3, second=30, watermark=62)
    made.say(4, second=30, campaign="c2")
    made.tick()
    made.flow.metrics.views.clear()
    made.owned.take_over()
    made.tick()
    view = made.flow.metrics.views[0]
    assert view.totals() == {("search", "c1"): {"clicks": 3}, ("search", "other"): {"clicks": 4}}
    assert view.rolling()["campaign", "search", "other"]["1m"] == {"clicks": 4}
    made.owned.partition.closed()
    assert made.flow.metrics.views == {}


def test_display_waits_for_nothing_else() -> None:
    """Without a watermark there are totals, but nothing rolling: no pane is closed yet."""
    made = Merging()
    made.say(3)
    made.tick()
    view = made.flow.metrics.views[0]
    assert (view.totals(), view.rolling()) == ({("search", "c1"): {"clicks": 3}}, {})


def test_freshness_is_measured_once() -> None:
    """The age of events is observed when their numbers are shown, not again at the next look."""
    made = Merging()
    made.flow.send("panes", msgspec.msgpack.encode(PaneBatch(0, 1, [], [], received_ms=1_000)))
    made.owned.read("panes")
    made.tick()
    made.tick()
    assert len(made.flow.metrics.freshness) == 1
