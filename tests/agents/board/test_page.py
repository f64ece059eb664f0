"""What the page says is what the workers said, and nothing else."""

import pytest

from agents.board.page import Page, Ratios, Scrape, Worker, build, events_rate, state_of
from streams.scrape import parse
from tests.agents.board.fakes import channel_counts, numbers


def scrape(at: float = 0.0, **texts: str) -> Scrape:
    """Return what workers said at one moment."""
    return Scrape(at, {name: list(parse(text)) for name, text in texts.items()})


def page(now: Scrape, before: Scrape | None = None, names: tuple[str, ...] = ("one",)) -> Page:
    """Return the page of a scrape."""
    workers = [Worker(name, "127.0.0.1:1", "healthy", "", events_rate(now, before, name)) for name in names]
    return build(now, before, workers, now_ms=1_700_000_010_000, lateness_ms=60_000, demo=False)


def test_totals_add_up_over_campaigns_and_workers() -> None:
    """A channel is the sum of its campaigns, wherever they live."""
    one = numbers({("search", "a"): channel_counts(1), ("search", "b"): channel_counts(2)})
    two = numbers({("search", "c"): channel_counts(3), ("video", "d"): channel_counts(1)})
    shown = page(scrape(one=one, two=two), names=("one", "two"))
    search, video = shown.channels
    assert (search.channel, search.impressions, search.clicks, search.orders) == ("search", 2_400, 60, 12)
    assert (search.spend, search.revenue) == ({"EUR": 24.0}, {"EUR": 96.0})
    assert search.ratios["all"] == Ratios(0.025, 0.2, {"EUR": 0.4}, {"EUR": 2.0}, {"EUR": 4.0})
    assert (shown.total.impressions, shown.total.spend) == (2_800, {"EUR": 28.0})
    assert shown.total.ratios["all"] == search.ratios["all"] == video.ratios["all"]
    assert shown.complete


def test_without_a_denominator_a_ratio_is_unknown() -> None:
    """Not zero: nothing was shown, so nobody knows who would have clicked."""
    (channel,) = page(scrape(one=numbers({("search", "a"): {"orders": 1}}))).channels
    assert channel.ratios["all"] == Ratios()


def test_currencies_are_never_added() -> None:
    """Each keeps its sum; a price over both is unknown, a return within one currency is known."""
    counts = {("search", "a"): channel_counts(1), ("search", "b"): channel_counts(1, "USD")}
    (channel,) = page(scrape(one=numbers(counts))).channels
    assert channel.spend == {"EUR": 4.0, "USD": 4.0}
    assert channel.ratios["all"].cpc == {}
    assert channel.ratios["all"].roas == {"EUR": 4.0, "USD": 4.0}


def test_rolling_ratios_come_from_the_gauges() -> None:
    """A window without a number is missing, not zero."""
    windows = {("channel", "search", ""): {"1m": channel_counts(2), "5m": {"impressions": 0}}}
    (channel,) = page(scrape(one=numbers({("search", "a"): channel_counts(9)}, windows=windows))).channels
    assert channel.ratios["1m"] == Ratios(0.025, 0.2, {"EUR": 0.4}, {"EUR": 2.0}, {"EUR": 4.0})
    assert channel.ratios.get("5m", Ratios()) == Ratios()


def test_a_silent_worker_takes_its_numbers_along_and_the_page_says_so() -> None:
    """Old numbers are not shown again."""
    one = numbers({("search", "a"): channel_counts(1)})
    before = scrape(0.0, one=one, two=numbers({("video", "b"): {"clicks": 1}}))
    shown = page(scrape(1.0, one=one), before, names=("one", "two"))
    assert [channel.channel for channel in shown.channels] == ["search"]
    assert not shown.complete


def test_rates_are_differences_over_time() -> None:
    """Clicks per channel, events per worker, and their sums."""
    before = scrape(10.0, one=numbers({("search", "a"): {"clicks": 100}, ("video", "b"): {"clicks": 7}}, events=1_000))
    now = scrape(12.0, one=numbers({("search", "a"): {"clicks": 130}, ("video", "b"): {"clicks": 7}}, events=1_500))
    shown = page(now, before)
    assert [channel.clicks_per_second for channel in shown.channels] == [15.0, 0.0]
    assert shown.total.clicks_per_second == 15.0
    assert shown.workers[0].events_per_second == shown.events_per_second == 250.0


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({}, {"one": {"clicks": 90_000}}),
        ({"one": {"clicks": 90_000}}, {"one": {"clicks": 10}}),
        ({"one": {"clicks": 90_000}}, {}),
    ],
    ids=["appears", "falls", "disappears"],
)
def test_a_partition_that_moves_is_no_burst(before: dict[str, dict[str, int]], now: dict[str, dict[str, int]]) -> None:
    """A series that appears, falls or goes gives no rate at all."""
    earlier, later = (
        scrape(at, **{name: numbers({("search", "a"): counts}) for name, counts in given.items()})
        for at, given in ((0.0, before), (1.0, now))
    )
    assert [channel.clicks_per_second for channel in page(later, earlier).channels] in ([], [None])


def test_a_series_that_moves_between_two_scrapes_keeps_its_rate() -> None:
    """What counts is the sum over the workers."""
    before = scrape(0.0, one=numbers({("search", "a"): {"clicks": 90}}), two=numbers({}))
    now = scrape(1.0, one=numbers({}), two=numbers({("search", "a"): {"clicks": 95}}))
    assert page(now, before, names=("one", "two")).channels[0].clicks_per_second == 5.0


def test_a_restarted_worker_has_no_rate_of_events() -> None:
    """Its counter starts again: unknown, neither negative nor huge."""
    before, now = scrape(0.0, one=numbers({}, events=500)), scrape(1.0, one=numbers({}, events=3))
    assert page(now, before).events_per_second is None


def test_ledger_adds_up() -> None:
    """In = outcomes + unexplained, per topic, over all workers."""
    shown = page(scrape(one=numbers({}, events=10), two=numbers({}, events=5, unexplained=2)), names=("one", "two"))
    (line,) = shown.ledger
    assert (line.topic, line.records, line.unexplained) == ("clicks", 23, 2)
    assert line.outcomes["accepted"] == 15
    assert line.outcomes["duplicate"] == 6
    assert line.outcomes["rejected"] == 0


def test_freshness_is_that_of_the_slowest_source() -> None:
    """The oldest watermark counts, and what is final lies the allowed lateness behind it."""
    fast, slow = (numbers({}, watermark_ms=1_700_000_000_000 + ms) for ms in (9_000, 5_000))
    shown = page(scrape(one=fast, two=slow))
    assert (shown.watermark_ms, shown.final_ms) == (1_700_000_005_000, 1_699_999_945_000)
    assert shown.waiting == 10


def test_the_merged_watermark_wins_where_it_is_known() -> None:
    """A silent source has an old watermark and holds nobody: the merge step knows which count."""
    text = 'campaignwatch_watermark_timestamp_seconds{topic="panes",partition="0"} 1700000008.5\n'
    assert page(scrape(one=numbers({}), two=text)).watermark_ms == 1_700_000_008_500


def test_stalled_sources_are_named() -> None:
    """Topic and partition, so that somebody can look."""
    lines = [f'campaignwatch_stalled{{topic="orders",partition="{number}"}} {number % 2}' for number in (2, 3)]
    assert page(scrape(one="\n".join(lines))).stalled == ["orders[3]"]


def test_nothing_yet() -> None:
    """Before the first event everything is unknown."""
    shown = page(scrape())
    assert (shown.channels, shown.ledger, shown.watermark_ms, shown.events_per_second) == ([], [], None, None)
    assert not shown.complete


@pytest.mark.parametrize(
    ("answered", "healthy", "seen", "word"),
    [(True, True, True, "healthy"), (True, False, True, "unhealthy"), (False, False, True, "down")],
)
def test_words_for_workers(answered: bool, healthy: bool, seen: bool, word: str) -> None:
    """One word per state."""
    assert state_of(answered=answered, healthy=healthy, seen=seen) == word
