"""Truths: counted, recounted from files, written, and compared with published windows."""

import gzip
from pathlib import Path
from typing import Any

import orjson
import pytest

from streams.simulate.truth import Truth, compare, load, recount

DATA = Path(__file__).parents[2] / "data"


def small() -> Truth:
    """Two clicks in one minute, one order of another day without a campaign."""
    truth = Truth()
    truth.count("clicks", "click", 60_000, "search", "c1", 5, "EUR")
    truth.count("clicks", "click", 61_000, "search", "c1", 7, "USD")
    truth.count("orders", "order", 90_000_000, "unknown", "", 100, "EUR")
    return truth


def published(truth: Truth, **changes: Any) -> list[dict[str, Any]]:
    """Return the truth's windows as a flow would publish them."""
    return [{**window, "revision": 3, "state": "final", **changes} for window in truth.windows()]


def test_every_level_and_scope_holds_each_event_once() -> None:
    """Each level of each scope sums to all events."""
    windows = list(small().windows())
    for level in ("1m", "5m", "1h", "1d"):
        for scope in ("channel", "campaign"):
            part = [w for w in windows if w["level"] == level and w["scope"] == scope]
            assert sum(w["clicks"] for w in part) == 2
            assert sum(w["orders"] for w in part) == 1
    assert [w["start_ms"] for w in windows if w["level"] == "1d" and w["scope"] == "channel"] == [0, 86_400_000]


def test_money_is_kept_by_currency() -> None:
    """Spend of two currencies is never one number."""
    assert small().totals()["spend_micros"] == {"EUR": 5, "USD": 7}


def test_a_written_truth_compares_like_the_one_in_memory(tmp_path: Path) -> None:
    """The file holds all that compare() needs, and what run it is of."""
    small().write(tmp_path / "truth.json", finished=True)
    content = load(tmp_path / "truth.json")
    assert content["finished"] is True
    assert content["records"] == {"clicks": 2, "orders": 1}
    assert compare(content, published(small())) == []


def test_the_highest_revision_of_a_window_counts() -> None:
    """Earlier publications of a window, in whatever order they are read, do not matter."""
    early = [{**window, "revision": 1, "clicks": 1} for window in published(small())]
    assert compare(small(), published(small()) + early) == []
    assert compare(small(), early + published(small())) == []


def test_differences_name_window_field_and_both_values() -> None:
    """A wrong count, a wrong amount and a missing window are told apart."""
    windows = published(small())
    windows[0] = {**windows[0], "clicks": 9, "spend_micros": {"EUR": 5}}
    told = compare(small(), windows[:-1])
    assert len(told) == 2
    assert "clicks is 9, not 2" in told[0]
    assert "spend_micros.USD is 0, not 7" in told[0]
    assert "(not published)" in told[1]


def test_a_window_too_many_is_a_difference() -> None:
    """What was counted out of nothing is found; a window that holds nothing is not."""
    extra = {**published(small())[0], "start_ms": 600_000}
    assert len(compare(small(), [*published(small()), extra])) == 1
    assert compare(small(), [*published(small()), {**extra, "clicks": 0, "spend_micros": {}}]) == []


def test_campaign_scope_without_campaign_may_be_null_or_empty() -> None:
    """Both spellings of "no campaign" are the same window."""
    windows = [{**w, "campaign_id": w["campaign_id"] or None} for w in published(small())]
    assert compare(small(), windows) == []


def test_recount_of_the_obd_cut_is_what_its_readme_says() -> None:
    """785 impressions and 41 clicks."""
    with gzip.open(DATA / "obd-clicks.jsonl.gz") as lines:
        totals = recount("clicks", lines).totals()
    assert (totals["impressions"], totals["clicks"]) == (785, 41)


def test_recount_of_the_cdnow_cut_sums_revenue() -> None:
    """Revenue is the exact sum of the lines; without channel and campaign they are unknown's."""
    lines = (DATA / "cdnow-orders.jsonl").read_bytes().splitlines()
    truth = recount("orders", lines)
    assert truth.totals()["orders"] == len(lines) == 132
    assert truth.totals()["revenue_micros"] == {"USD": sum(orjson.loads(line)["revenue_micros"] for line in lines)}
    assert {window["channel"] for window in truth.windows()} == {"unknown"}


@pytest.mark.parametrize(
    ("second", "outcome"), [(b'"type":"like","x":1', "duplicate"), (b'"type":"like","x":2', "conflict")]
)
def test_recount_knows_repeats(second: bytes, outcome: str) -> None:
    """The same id and content again is a duplicate, other content a conflict; ids belong to a user."""
    line = b'{"event_id":"e","user_id":"%b","event_time":"1970-01-01T01:00:00.0009+01:00",%b}'
    first = line % (b"u", b'"type":"like","x":1')
    truth = recount("social", [first, line % (b"u", second), line % (b"v", second)])
    assert truth.outcomes == {("social", "counted"): 2, ("social", outcome): 1}
    assert next(truth.windows())["start_ms"] == 0


def test_the_campaigns_channel_stands_in_for_a_missing_one() -> None:
    """The event's own channel wins, then the campaign's."""
    line = b'{"event_id":"e%d","user_id":"u","event_time":0,"type":"click","campaign_id":"c1"%b}'
    truth = recount("clicks", [line % (1, b""), line % (2, b',"channel":"video"')], channels={"c1": "search"})
    assert {w["channel"] for w in truth.windows()} == {"search", "video"}
