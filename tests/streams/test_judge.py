"""Each record of a slice gets exactly one outcome, judged by what came before it."""

from collections.abc import Callable

import msgspec
import pytest

from schemas.dead_letters import DeadLetter
from schemas.reasons import Outcome, RejectReason
from streams.decode import Decoder
from streams.enrich import Enricher
from streams.judge import ROUTING_SAMPLE, Judge
from streams.panes import PaneTable
from streams.privacy import Hasher
from streams.reference import Reference
from streams.source import Source
from streams.watermark import Watermark
from tests.streams.harness import BASE, Raw, ad, order, social

LATENESS, HORIZON, DEDUPE = 60_000, 600_000, 3_600_000


def new_judge(topic: str = "clicks", *, watermark: int | None = None, panes: PaneTable | None = None) -> Judge:
    """Return the judge of a source whose watermark is so many seconds after the base."""
    source = Source(topic, dedupe_horizon_ms=DEDUPE)
    source.watermark = Watermark(None if watermark is None else BASE + watermark * 1_000)
    return Judge(
        source,
        panes or PaneTable(),
        decoder=Decoder(topic, floor_ms=0, skew_ms=600_000, max_bytes=10_000),
        enricher=Enricher(topic, f"test.{topic}", 3, Hasher("key"), Reference()),
        lateness_ms=LATENESS,
        horizon_ms=HORIZON,
    )


def run(judge: Judge, *values: bytes | None, start: int = 10) -> Judge:
    judge.run([Raw(start + n, value) for n, value in enumerate(values)])
    return judge


def letters(judge: Judge) -> list[DeadLetter]:
    return [msgspec.json.decode(value or b"", type=DeadLetter) for _, value in judge.dead]


@pytest.mark.parametrize(
    ("second", "outcome"),
    [(100, "accepted"), (40, "accepted"), (39.999, "late"), (-500, "late"), (-500.001, "rejected")],
)
def test_time_against_the_watermark(second: float, outcome: str) -> None:
    """On time down to the lateness exactly, late down to the horizon exactly, then too late."""
    judge = run(new_judge(watermark=100), ad(1, second))
    assert judge.totals() == {outcome: 1}
    assert len(judge.enriched) == (outcome != "rejected")
    assert [letter.reason for letter in letters(judge)] == [RejectReason.TOO_LATE] * (outcome == "rejected")


def test_nothing_is_late_without_a_watermark() -> None:
    """The first events of a source are all on time."""
    assert run(new_judge(), ad(1, 0), ad(2, -100_000)).totals() == {"accepted": 2}


def test_late_is_judged_inside_the_slice() -> None:
    """Four users move the watermark for the very next record."""
    ahead = [ad(n, 1_000, f"u{n}") for n in range(4)]
    judge = run(new_judge(watermark=0), *ahead, ad(9, 900))
    assert judge.totals() == {"accepted": 4, "late": 1}
    assert judge.watermark.value == BASE + 1_000_000


def test_repeats_and_conflicts() -> None:
    """The first of an id counts; the same again is a duplicate, other content a conflict with a dead letter."""
    judge = run(new_judge(), ad(1, 0), ad(1, 0), ad(1, 0, page="/b"), ad(1, 0), ad(1, 0, "u2"))
    assert judge.totals() == {"accepted": 2, "duplicate": 2, "conflict": 1}
    assert [(letter.reason, letter.source.offset) for letter in letters(judge)] == [(RejectReason.CONFLICT, 12)]
    assert len(judge.enriched) == 2


def test_unknown_fields_do_not_make_a_conflict() -> None:
    """A retry through another proxy may add fields; the known ones decide."""
    assert run(new_judge(), ad(1, 0), ad(1, 0, hop="b")).totals() == {"accepted": 1, "duplicate": 1}


def test_the_same_moment_written_otherwise_is_the_same() -> None:
    """Epoch milliseconds and RFC 3339 are two ways to write one time."""
    again = ad(1, 0).replace(str(BASE).encode(), b'"2019-11-24T01:00:00+01:00"')
    assert run(new_judge(), ad(1, 0), again).totals() == {"accepted": 1, "duplicate": 1}


def test_a_repeat_of_a_rejected_event_is_judged_anew() -> None:
    """Only what was counted is remembered."""
    assert run(new_judge(watermark=0), ad(1, -700), ad(1, -700)).totals() == {"rejected": 2}


def test_a_repeat_that_is_too_late_is_a_duplicate() -> None:
    """What was counted once is never a reject, so repeats do not fill the dead letters."""
    ahead = [ad(n, 2_000, f"u{n}") for n in range(2, 6)]
    assert run(new_judge(), ad(1, 0), *ahead, ad(1, 0)).totals() == {"accepted": 5, "duplicate": 1}


def test_rejects_never_touch_watermark_or_ids() -> None:
    """A record that does not count leaves no trace but its dead letter."""
    judge = run(new_judge(), None, b"{", ad(1, 0, currency="eur"))
    assert judge.totals() == {"rejected": 3}
    assert (judge.watermark.value, list(judge.ids.chunks()), judge.changed) == (None, [], {})
    assert [letter.reason for letter in letters(judge)] == ["empty", "malformed", "invalid_schema"]
    assert sum(judge.reasons.values()) == 3


def test_outcomes_are_counted_by_type() -> None:
    """A reject whose type is known counts under it."""
    judge = run(new_judge("orders"), order(1, 0), order(2, 0, kind="refund"), order(3, 0, quantity=0), b"{")
    assert judge.outcomes == {
        ("order", Outcome.ACCEPTED): 1,
        ("refund", Outcome.ACCEPTED): 1,
        ("order", Outcome.REJECTED): 1,
        ("unknown", Outcome.REJECTED): 1,
    }


@pytest.mark.parametrize(
    ("topic", "value", "counts"),
    [
        ("clicks", ad(1, 0, cost_micros=5, currency="EUR"), {"clicks": 1, "spend:EUR": 5}),
        ("clicks", ad(1, 0, kind="impression", cost_micros=0, currency="EUR"), {"impressions": 1}),
        ("clicks", ad(1, 0, kind="pageview", currency="EUR"), {"pageviews": 1}),
        ("orders", order(1, 0, revenue_micros=7), {"orders": 1, "revenue:EUR": 7}),
        ("orders", order(1, 0, revenue_micros=0), {"orders": 1}),
        ("orders", order(1, 0, kind="refund", currency="USD"), {"refunds": 1, "refund:USD": 1_000_000}),
        ("social", social(1, 0, kind="review", rating=5), {"interactions:review": 1}),
    ],
)
def test_what_each_type_counts(topic: str, value: bytes, counts: dict[str, int]) -> None:
    """One of its measure, and its money in its currency; nothing is counted as money that is none."""
    assert [row.counts for row in run(new_judge(topic), value).changed.values()] == [counts]


def test_events_of_one_pane_share_a_row() -> None:
    """Ten seconds, channel and campaign make a pane; currencies are never added up."""
    values = [ad(n, n, cost_micros=1, currency="EUR" if n % 2 else "JPY") for n in range(10)]
    judge = run(new_judge(), *values, ad("a", 10), ad("b", 0, channel="email"), ad("c", 0, campaign_id="c2"))
    row = judge.changed["clicks", BASE, "search", "c1"]
    assert (row.incarnation, row.offset) == (10, 19)
    assert row.counts == {"clicks": 10, "spend:EUR": 5, "spend:JPY": 5}
    assert len(judge.changed) == 4


def test_nothing_is_changed_yet() -> None:
    """A slice that is thrown away leaves rows, ids and watermark as they were."""
    panes = PaneTable()
    first = run(new_judge(panes=panes), ad(1, 0))
    for key, row in panes.encode(first.changed, ()):
        panes.put(key, row)
    judge = run(new_judge(panes=panes), *(ad(n, 1, f"u{n}") for n in range(2, 8)), start=20)
    assert judge.changed["clicks", BASE, "search", "c1"].counts == {"clicks": 7}
    assert panes.rows["clicks", BASE, "search", "c1"].counts == {"clicks": 1}
    assert judge._source.watermark.value is None
    assert len(judge._source.seen) == 0


@pytest.mark.parametrize("partition_of", [lambda key: 3, lambda key: 4])
def test_routing_is_checked_in_a_sample(partition_of: Callable[[bytes], int]) -> None:
    """One record in so many is looked at; those without a key lie right anywhere."""
    records = [Raw(n, None, b"k") for n in range(2 * ROUTING_SAMPLE + 1)]
    records[0].key = None
    assert new_judge().misrouted(records, partition_of, 3) == (0 if partition_of(b"k") == 3 else 2)
