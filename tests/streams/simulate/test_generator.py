"""A simulated run: the same every time, in the shares asked for, and valid where it should be."""

from collections import Counter
from itertools import pairwise

import orjson
import pytest

from schemas.campaigns import Campaign
from streams.decode import Decoded, Decoder, Reject
from streams.dedupe import event_key, fields_digest
from streams.simulate import Options, Simulator, Truth
from streams.simulate.generator import Record
from streams.simulate.truth import compare, recount

START = 1_767_225_600_000
FAULTY = Options(seed=5, events=20_000, rate=500, duplicates=0.03, conflicts=0.02, late=0.04, hostile=0.05, users=500)


def run(options: Options) -> tuple[list[Record], Truth]:
    """Return a whole run and its truth."""
    truth = Truth()
    return list(Simulator(options, truth=truth)), truth


def decoders() -> dict[str, Decoder]:
    """Return decoders with the default limits."""
    return {topic: Decoder(topic, floor_ms=631_152_000_000, skew_ms=600_000, max_bytes=262_144)
            for topic in ("clicks", "orders", "social")}


def flow(records: list[Record]) -> tuple[Truth, dict[str, str]]:
    """Count what a run holds from its bytes alone, as the flow would."""
    truth, judges, seen = Truth(), decoders(), {}
    channels = {plan.campaign_id: plan.channel.name for plan in Simulator(FAULTY).plans}
    for topic, _, value in records:
        decoded = judges[topic].decode(value, START + 40_000)
        if isinstance(decoded, Reject):
            truth.reject(topic, decoded.reason)
            continue
        event = decoded.event
        key, digest = (topic, event_key(event.user_id, event.event_id)), fields_digest(event)
        if key in seen:
            truth.repeat(topic, conflict=seen[key] != digest)
            continue
        seen[key] = digest
        campaign = event.campaign_id or ""
        channel = event.channel or channels.get(campaign) or "unknown"
        money = getattr(event, "cost_micros", None) or getattr(event, "revenue_micros", None) or 0
        truth.count(topic, event.type, event.event_time, channel, campaign, money, getattr(event, "currency", None))
    return truth, channels


def test_the_same_options_give_the_same_bytes() -> None:
    """Nothing but seed and options decides."""
    assert run(FAULTY)[0] == run(FAULTY)[0]


def test_another_seed_or_start_gives_other_events() -> None:
    """Two runs against one broker do not share event ids."""
    first = {value for _, _, value in Simulator(Options(seed=1, events=200))}
    for other in (Options(seed=2, events=200), Options(seed=1, events=200, start_ms=START + 1)):
        ids = {orjson.loads(value)["event_id"] for _, _, value in Simulator(other) if value}
        assert not ids & {orjson.loads(value)["event_id"] for value in first if value}


def test_batches_of_any_size_are_the_same_run() -> None:
    """How a run is cut into batches does not change it."""
    simulator, pieces = Simulator(FAULTY), []
    while lot := simulator.batch(137):
        pieces += lot
    assert pieces == run(FAULTY)[0]


def test_truth_equals_an_independent_count_of_the_bytes() -> None:
    """Decoded and deduplicated again, the bytes give the truth that was counted along."""
    records, truth = run(FAULTY)
    counted, _ = flow(records)
    assert counted.outcomes == truth.outcomes
    assert counted.rejects == truth.rejects
    assert list(counted.windows()) == list(truth.windows())


def test_recount_of_a_run_without_hostile_bytes_is_its_truth() -> None:
    """The recount that serves recorded files agrees as well."""
    records, truth = run(Options(seed=9, events=5_000, duplicates=0.05, late=0.05))
    channels = {plan.campaign_id: plan.channel.name for plan in Simulator(Options(seed=9)).plans}
    again = Truth()
    for topic in ("clicks", "orders", "social"):
        recount(topic, [value for t, _, value in records if t == topic and value], channels=channels, truth=again)
    assert again.as_dict() == truth.as_dict()


def test_shares_are_honoured() -> None:
    """Each fault has the share it was given, within what chance allows."""
    records, truth = run(FAULTY)
    sums: Counter[str] = Counter()
    for (_, outcome), count in truth.outcomes.items():
        sums[outcome] += count
    assert sum(sums.values()) == len(records) == FAULTY.events
    for outcome, share in (("duplicate", 0.03), ("conflict", 0.02), ("rejected", 0.05)):
        assert sums[outcome] / len(records) == pytest.approx(share, rel=0.25)


def test_no_faults_unless_asked_for() -> None:
    """A plain run is all valid and each event is there once."""
    records, truth = run(Options(seed=2, events=5_000))
    judges = decoders()
    assert all(isinstance(judges[topic].decode(value, START + 60_000), Decoded) for topic, _, value in records)
    assert {outcome for _, outcome in truth.outcomes} == {"counted"}


def test_late_events_lie_in_both_ranges() -> None:
    """Some late events come within the allowed lateness, some long after, none beyond the revision horizon."""
    options = Options(seed=3, events=4_000, late=0.2, rate=1_000)
    behind, newest = [], 0
    for _, _, value in Simulator(options):
        time = orjson.loads(value or b"")["event_time"]
        if isinstance(time, int):
            newest = max(newest, time)
            behind.append(newest - time)
    within, beyond = sum(2_000 < b <= 60_000 for b in behind), sum(b > 60_000 for b in behind)
    assert within / len(behind) == pytest.approx(0.1, rel=0.3)
    assert beyond / len(behind) == pytest.approx(0.1, rel=0.3)
    assert max(behind) < 48 * 3_600_000


def test_every_record_of_a_user_has_the_users_key() -> None:
    """Repeats and contradictions go where the first went."""
    for topic, key, value in Simulator(Options(seed=4, events=3_000, duplicates=0.1, conflicts=0.1)):
        assert key == orjson.loads(value or b"")["user_id"].encode(), topic


def test_a_run_reaches_many_channels_and_all_topics() -> None:
    """At least six channels show, and orders come after clicks."""
    records, truth = run(Options(seed=1, events=30_000, rate=20))
    totals = truth.totals()
    assert {topic for topic, _, _ in records} == {"clicks", "orders", "social"}
    assert len({window["channel"] for window in truth.windows() if window["clicks"]}) >= 6
    assert totals["orders"] > 20
    assert totals["refunds"] > 0
    assert len(totals["interactions"]) == 7
    assert totals["impressions"] > totals["clicks"] > totals["orders"]


def test_seconds_and_rate_make_the_length() -> None:
    """Ten seconds at 300 a second are 3,000 records within ten seconds of event time."""
    simulator = Simulator(Options(rate=300, seconds=10))
    assert len(list(simulator)) == 3_000
    assert simulator.now_ms == pytest.approx(Options().start_ms + 10_000, abs=4)
    assert simulator.finished


def test_a_batch_stops_at_the_time_it_is_given() -> None:
    """A paced sender gets only what is due."""
    simulator = Simulator(Options(rate=100))
    assert len(simulator.batch(1_000, until_ms=Options().start_ms + 500)) == 50
    assert simulator.batch(1_000, until_ms=Options().start_ms + 500) == []


def test_day_curve_moves_the_rate() -> None:
    """With the curve the evening is busier than the night, and the day's mean is the rate."""
    simulator, per_hour = Simulator(Options(rate=1, seconds=86_400, day_curve=True)), [0] * 24
    while simulator.batch(1):
        per_hour[(simulator.now_ms - START) // 3_600_000 % 24] += 1
    assert per_hour[18] > 3 * per_hour[6]
    assert sum(per_hour) == pytest.approx(86_400, rel=0.02)


def test_a_budget_that_ran_out_stops_a_campaign() -> None:
    """Nobody spends far beyond a budget, and traffic goes on."""
    simulator = Simulator(Options(seed=1, events=60_000, rate=50, campaigns=16), truth=(truth := Truth()))
    list(simulator)
    spent: Counter[str] = Counter()
    for window in truth.windows():
        if window["level"] == "1d" and window["scope"] == "campaign":
            spent[window["campaign_id"]] += sum(window["spend_micros"].values())
    small = min(simulator.plans, key=lambda plan: plan.budget_micros)
    assert spent[small.campaign_id] <= small.budget_micros + 2_000_000
    assert truth.totals()["impressions"] > 30_000


def test_campaign_records_fit_the_contract() -> None:
    """Each reference record decodes, under the key of its campaign."""
    records = Simulator(Options(campaigns=30)).references()
    decoded = [Campaign(**orjson.loads(value)) for _, value in records]
    assert [campaign.campaign_id.encode() for campaign in decoded] == [key for key, _ in records]
    assert all(a.start < a.end and a.budget_micros and a.owner for a in decoded)  # type: ignore[operator]
    assert len({first.campaign_id for first in decoded}) == 30
    assert all(a.campaign_id != b.campaign_id for a, b in pairwise(decoded))


def test_the_windows_of_a_run_equal_its_truth() -> None:
    """compare() finds nothing to say about a run's own windows."""
    _, truth = run(Options(seed=8, events=2_000))
    assert compare(truth, [{**window, "revision": 1} for window in truth.windows()]) == []
