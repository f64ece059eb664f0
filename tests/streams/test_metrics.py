"""What Prometheus reads from a worker: exact totals, known ratios only, and nothing of a partition that went."""

import shutil
import subprocess
from collections import Counter
from decimal import Decimal
from threading import Event, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from schemas.reasons import Outcome, RejectReason
from streams.metrics import Metrics
from streams.shown import MOST_CHANNELS, MOST_CURRENCIES
from tests.streams.merged_views import FakeView, large_view

CLICKS = {"campaign": "spring", "channel": "search"}


def samples(metrics: Metrics, name: str) -> list[tuple[dict[str, str], float]]:
    """Return labels and value of every sample of a name, from the rendered page."""
    page, _ = metrics.render()
    return [
        (sample.labels, sample.value)
        for family in parse_text(page.decode())
        for sample in family.samples
        if sample.name == f"campaignwatch_{name}"
    ]


def filled() -> Metrics:
    """Return metrics with every number shown."""
    metrics = Metrics()
    metrics.count_events("clicks", Counter({("click", Outcome.ACCEPTED): 3}))
    metrics.count_dead_letters("clicks", {RejectReason.MALFORMED: 1})
    metrics.count_misrouted("clicks", 1)
    metrics.count_channel_mismatch("clicks", 1)
    metrics.count_state_group("ingest")
    metrics.observe_slice("clicks", 5_000)
    metrics.observe_stage("ingest", 0.01)
    metrics.observe_event_to_metric([1.2])
    metrics.show_watermark("clicks", 0, 1_500)
    metrics.show_lag("clicks", 0, 7)
    metrics.show_stalled("clicks", 0, True)
    metrics.show_ledger("clicks", 0, {"accepted": 3, "absent": 1}, 0)
    metrics.set_merged(0, large_view(3))
    metrics.show_unwindowed(0, 0)
    return metrics


# -- the page ----------------------------------------------------------------


def test_both_formats_are_read_by_the_parsers_of_the_client_library():
    """Text format by default, OpenMetrics when asked for; the same families in both."""
    metrics = filled()
    text, text_type = metrics.render()
    strict, strict_type = metrics.render("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert text_type.startswith("text/plain; version=0.0.4")
    assert strict_type.startswith("application/openmetrics-text; version=1.0.0")
    names = {family.name for family in parse_text(text.decode())}
    assert {family.name for family in parse_openmetrics(strict.decode())} == names


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (Debian package prometheus)")
def test_promtool_finds_nothing_to_criticise():
    """Names, types and units follow Prometheus' conventions."""
    page, _ = filled().render()
    checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, timeout=60)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_totals_are_counters():
    """`rate` needs the type, and no family is shown twice or with creation times."""
    page = filled().render()[0].decode()
    for name in ("impressions", "clicks", "pageviews", "orders", "refunds", "spend", "revenue", "refund", "events"):
        assert page.count(f"# TYPE campaignwatch_{name}_total counter\n") == 1
    assert "_created" not in page


def test_every_declared_family_has_a_sample():
    """Nothing is declared that nobody can fill."""
    page = filled().render()[0].decode()
    assert [family.name for family in parse_text(page) if not family.samples] == []


# -- merged state ------------------------------------------------------------


def test_totals_are_exact_and_money_is_in_units():
    """Counts as they are, micros divided by a million."""
    counts = {"clicks": 2**53 - 1, "spend:EUR": 1_234_567, "spend:USD": 2_000_000, "interactions:like": 5}
    metrics = Metrics()
    metrics.set_merged(0, FakeView({("search", "spring"): counts}))
    assert samples(metrics, "clicks_total") == [(CLICKS, 2**53 - 1)]
    spend = {labels["currency"]: value for labels, value in samples(metrics, "spend_total")}
    assert spend == {"EUR": 1.234567, "USD": 2.0}
    assert samples(metrics, "interactions_total") == [(CLICKS | {"type": "like"}, 5)]


@given(st.integers(0, 2**33 * 10**6))
def test_money_can_be_read_back_to_the_micro(micros):
    """Up to 2**33 units the rendered number tells the exact amount."""
    metrics = Metrics()
    metrics.set_merged(0, FakeView({("search", "spring"): {"revenue:EUR": micros}}))
    ((_, value),) = samples(metrics, "revenue_total")
    assert round(Decimal(value) * 1_000_000) == micros


def test_a_counter_is_there_before_its_first_event():
    """A campaign with impressions only has 0 orders: `increase` sees the first one."""
    metrics = Metrics()
    metrics.set_merged(0, FakeView({("search", "spring"): {"impressions": 1}}))
    assert samples(metrics, "orders_total") == [(CLICKS, 0)]


def test_a_lost_partition_takes_all_its_numbers_away():
    """The new owner shows them; shown twice they would count twice."""
    metrics = Metrics()
    empty = metrics.render()[0]
    for partition in (0, 1):
        metrics.set_merged(partition, large_view(2))
        metrics.show_unwindowed(partition, 3)
    assert len(samples(metrics, "unwindowed_total")) == 2
    for partition in (0, 1):
        metrics.set_merged(partition, None)
    assert _without_process(metrics.render()[0]) == _without_process(empty)
    metrics.set_merged(1, None)  # a second time does no harm


def _without_process(page: bytes) -> list[bytes]:
    return [line for line in page.splitlines() if not line.startswith(b"process_")]


def test_partitions_with_the_same_place_are_added_before_dividing():
    """One click in 10 and 9 in 90 impressions are 10 %, not the mean of two ratios."""
    metrics = Metrics()
    for partition, (clicks, impressions) in enumerate([(1, 100), (9, 100)]):
        counts = {"clicks": clicks, "impressions": impressions}
        rolling = {("channel", "search", ""): {"1m": counts}}
        metrics.set_merged(partition, FakeView({("search", "spring"): counts}, rolling))
    assert samples(metrics, "clicks_total") == [(CLICKS, 10)]
    assert samples(metrics, "channel_ctr_ratio") == [({"channel": "search", "window": "1m"}, 0.05)]


def test_ratios_of_channels_and_campaigns():
    """Each scope, window and currency has its gauges."""
    counts = {"impressions": 400, "clicks": 10, "orders": 2, "spend:EUR": 5_000_000, "revenue:EUR": 20_000_000}
    rolling = {("channel", "search", ""): {"5m": counts}, ("campaign", "search", "spring"): {"1h": counts}}
    metrics = Metrics()
    metrics.set_merged(0, FakeView({}, rolling))
    values = {"ctr_ratio": 0.025, "conversion_ratio": 0.2, "cpc": 0.5, "cpa": 2.5, "roas_ratio": 4.0}
    for name, value in values.items():
        currency = {"currency": "EUR"} if name in ("cpc", "cpa", "roas_ratio") else {}
        channel = {"channel": "search", "window": "5m"} | currency
        campaign = CLICKS | {"window": "1h"} | currency
        assert samples(metrics, f"channel_{name}") == [(channel, value)]
        assert samples(metrics, f"campaign_{name}") == [(campaign, value)]


@pytest.mark.parametrize("counts", [{}, {"pageviews": 5}, {"orders": 3, "revenue:EUR": 5}, {"spend:EUR": 0}])
def test_an_unknown_ratio_is_absent(counts):
    """Promise 6: neither 0 nor NaN."""
    metrics = Metrics()
    metrics.set_merged(0, FakeView({}, {("channel", "search", ""): {"1m": counts}}))
    for name in ("ctr_ratio", "conversion_ratio", "cpc", "cpa", "roas_ratio"):
        assert samples(metrics, f"channel_{name}") == []


def test_a_measure_nobody_declared_does_not_fail_the_page():
    """A newer state may hold more than this worker knows."""
    metrics = Metrics()
    metrics.set_merged(0, FakeView({("search", "spring"): {"clicks": 1, "sightings": 2}}))
    assert samples(metrics, "clicks_total") == [(CLICKS, 1)]


# -- labels ------------------------------------------------------------------


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_name_gives_a_page_that_can_be_read(channel, campaign):
    """Line breaks, quotes, half a surrogate pair: the page stays whole and the count right."""
    metrics = Metrics()
    metrics.set_merged(0, FakeView({(channel, campaign): {"clicks": 3}, ("search", "spring"): {"clicks": 4}}))
    assert sum(value for _, value in samples(metrics, "clicks_total")) == 7
    assert all(0 < len(value) <= 128 for labels, _ in samples(metrics, "clicks_total") for value in labels.values())


def test_lone_surrogates_do_not_fail_the_page():
    """They cannot be written as UTF-8."""
    metrics = Metrics()
    metrics.set_merged(0, FakeView({("\ud800", "\udfff"): {"clicks": 3}}))
    assert [value for _, value in samples(metrics, "clicks_total")] == [3]


def test_too_many_channels_are_shown_together_for_good():
    """The first ones keep their name, sums stay exact, and the page says that names are missing."""
    channels = [f"channel-{number}" for number in range(MOST_CHANNELS + 50)]
    metrics = Metrics()
    metrics.set_merged(0, FakeView({(channel, "spring"): {"clicks": 1} for channel in channels}))
    first = samples(metrics, "clicks_total")
    assert len(first) == MOST_CHANNELS + 1
    assert ({"channel": "other", "campaign": "spring"}, 50) in first
    assert ({"label": "channel"}, 50) in samples(metrics, "unnamed_values")
    metrics.set_merged(0, FakeView({(channel, "spring"): {"clicks": 1} for channel in reversed(channels)}))
    assert sorted(map(str, samples(metrics, "clicks_total"))) == sorted(map(str, first))


def test_many_campaigns_are_shown_together():
    """100,000 campaigns do not hurt Prometheus, whatever the views name."""
    totals = {("search", f"campaign-{number}"): {"clicks": 1} for number in range(100_000)}
    metrics = Metrics(named_campaigns=10)
    metrics.set_merged(0, FakeView(totals, {("campaign", *place): {"1m": {"clicks": 1}} for place in totals}))
    shown = samples(metrics, "clicks_total")
    assert len(shown) <= 101
    assert sum(value for _, value in shown) == 100_000
    assert len(samples(metrics, "campaign_conversion_ratio")) <= 101


def test_money_of_too_many_currencies_is_left_out_not_mixed():
    """Amounts of different currencies cannot be shown together."""
    money = {f"spend:A{chr(65 + number // 26)}{chr(65 + number % 26)}": 10**6 for number in range(MOST_CURRENCIES + 5)}
    metrics = Metrics()
    metrics.set_merged(0, FakeView({("search", "spring"): money}))
    shown = samples(metrics, "spend_total")
    assert [value for _, value in shown] == [1.0] * MOST_CURRENCIES
    assert ({"label": "currency"}, 5) in samples(metrics, "unnamed_values")


def test_unknown_types_and_reasons_share_one_name():
    """What senders invent is no label."""
    metrics = Metrics()
    metrics.count_events("clicks", {("buy now!", "rejected"): 2, ("order", "rejected"): 1, ("unknown", "rejected"): 1})
    metrics.count_dead_letters("clicks", {"because": 4})
    labels = {"topic": "clicks", "type": "unknown", "outcome": "rejected"}
    assert samples(metrics, "events_total") == [(labels, 4)]
    assert samples(metrics, "dead_letters_total") == [({"topic": "clicks", "reason": "unknown"}, 4)]


# -- process and sources -----------------------------------------------------


def test_slices_add_up():
    """Counters grow by what each slice brings."""
    metrics = Metrics()
    for _ in range(3):
        metrics.count_events("social", Counter({("like", Outcome.LATE): 5}))
    assert samples(metrics, "events_total") == [({"topic": "social", "type": "like", "outcome": "late"}, 15)]


def test_histograms_take_what_is_observed():
    """Freshness below zero comes from clocks that differ, and counts as zero."""
    metrics = Metrics()
    metrics.observe_event_to_metric([-5.0, 1.0, 2.0])
    metrics.observe_slice("clicks", 5_000)
    metrics.observe_stage("ingest", 0.2)
    assert samples(metrics, "event_to_metric_seconds_sum") == [({}, 3.0)]
    assert samples(metrics, "event_to_metric_seconds_count") == [({}, 3)]
    assert samples(metrics, "slice_records_sum") == [({"topic": "clicks"}, 5_000)]
    assert samples(metrics, "stage_seconds_sum") == [({"stage": "ingest"}, 0.2)]


def test_a_ledger_is_the_sum_over_partitions():
    """A loss here and a surplus there do not cancel out."""
    metrics = Metrics()
    metrics.show_ledger("clicks", 0, {"accepted": 3, "late": 1}, 2)
    metrics.show_ledger("clicks", 1, {"accepted": 4, "late": 0}, -2)
    metrics.show_ledger("orders", 0, {"accepted": 1}, 0)
    assert ({"topic": "clicks", "outcome": "accepted"}, 7) in samples(metrics, "ledger_events")
    assert samples(metrics, "ledger_unexplained") == [({"topic": "clicks"}, 4), ({"topic": "orders"}, 0)]


def test_a_forgotten_source_is_gone():
    """Watermark, lag, stall and ledger go with the partition; its neighbour stays."""
    metrics = Metrics()
    for partition in (0, 1):
        metrics.show_watermark("clicks", partition, 1_500)
        metrics.show_lag("clicks", partition, 7)
        metrics.show_stalled("clicks", partition, False)
        metrics.show_ledger("clicks", partition, {"accepted": 5}, 0)
    metrics.forget_source("clicks", 0)
    left = {"topic": "clicks", "partition": "1"}
    assert samples(metrics, "watermark_timestamp_seconds") == [(left, 1.5)]
    assert samples(metrics, "lag_records") == [(left, 7)]
    assert samples(metrics, "stalled") == [(left, 0)]
    assert samples(metrics, "ledger_events") == [({"topic": "clicks", "outcome": "accepted"}, 5)]


def test_a_source_without_watermark_shows_none():
    """Before the first events there is no time to show, least of all 1970."""
    metrics = Metrics()
    metrics.show_watermark("clicks", 0, 1_500)
    metrics.show_watermark("clicks", 0, None)
    assert samples(metrics, "watermark_timestamp_seconds") == []


def test_two_metrics_do_not_share_numbers():
    """Each has its own registry: several workers can live in one test."""
    one, other = Metrics(), Metrics()
    one.count_misrouted("clicks", 3)
    assert samples(other, "misrouted_total") == []


def test_scrapes_while_numbers_change_are_whole():
    """Partitions come and go while two threads scrape; every page can be read."""
    metrics, stop, failures = Metrics(), Event(), []

    def scrape() -> None:
        try:
            while not stop.is_set():
                list(parse_text(metrics.render()[0].decode()))
        except Exception as error:
            failures.append(error)

    threads = [Thread(target=scrape) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(2_000):
        metrics.set_merged(number % 50, None if number % 3 else large_view(2))
        metrics.show_ledger("clicks", number % 50, {"accepted": number}, 0)
        metrics.forget_source("clicks", (number + 25) % 50)
        metrics.show_lag("clicks", number % 50, number)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
