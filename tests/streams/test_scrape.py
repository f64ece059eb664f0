"""Prometheus' text format: read, and merged from several workers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streams.scrape import merge, parse


def registry(value: float, channel: str = "search") -> str:
    """Return the text of one worker, made by the client library."""
    made = CollectorRegistry()
    Counter("campaignwatch_clicks", "Clicks.", ["channel"], registry=made).labels(channel).inc(value)
    Gauge("campaignwatch_lag", "Lag.", registry=made).set(value)
    Histogram("campaignwatch_stage_seconds", "Time.", ["stage"], registry=made).labels("ingest").observe(0.1)
    return generate_latest(made).decode()


def families(text: str) -> dict[str, list[tuple[str, dict[str, str], float]]]:
    """Return what Prometheus' own parser reads."""
    return {f.name: [(s.name, s.labels, s.value) for s in f.samples] for f in text_string_to_metric_families(text)}


def test_merged_metrics_are_read_by_the_reference_parser() -> None:
    """Each family comes once, with the samples of all workers, each with its worker."""
    merged = merge({"worker 1": registry(3), "worker 2": registry(4)})
    assert merged.count("# TYPE campaignwatch_clicks_total counter") == 1
    assert merged.count("# HELP campaignwatch_clicks_total Clicks.") == 1
    clicks = families(merged)["campaignwatch_clicks"]
    assert [(labels["worker"], value) for name, labels, value in clicks if name.endswith("_total")] == [
        ("worker 1", 3.0),
        ("worker 2", 4.0),
    ]
    assert all("worker" in labels for samples in families(merged).values() for _name, labels, _value in samples)


def test_samples_of_a_family_stay_together() -> None:
    """Prometheus rejects a text in which a family is interrupted."""
    merged = merge({"1": registry(1), "2": registry(2)})
    order = [line.partition("{")[0].removesuffix("_bucket") for line in merged.splitlines() if not line.startswith("#")]
    ordered = [name.removesuffix("_sum").removesuffix("_count") for name in order]
    assert ordered == sorted(ordered, key=ordered.index)


def test_an_own_worker_label_survives() -> None:
    """It is renamed, as Prometheus does."""
    assert merge({"1": 'a{worker="x",b="y"} 1\n'}) == 'a{worker="1",exported_worker="x",b="y"} 1\n'


def test_timestamps_and_special_values_survive() -> None:
    """A time behind the value stays; infinities and NaN are numbers."""
    assert merge({"1": "a 1 1700000000000\n"}) == 'a{worker="1"} 1 1700000000000\n'
    assert [sample.value for sample in parse("a +Inf\na -Inf\na 1e3\n")] == [float("inf"), float("-inf"), 1000.0]


def test_a_worker_without_a_family() -> None:
    """What only one worker has comes from it alone; nothing is made up for the other."""
    assert merge({"1": "# TYPE a gauge\na 1\n", "2": ""}) == '# TYPE a gauge\na{worker="1"} 1\n'
    assert merge({}) == ""


@pytest.mark.parametrize("text", ["<!doctype html>", "a{b=} 1", 'a{b="c} 1', "a", "a one"])
def test_what_is_no_metrics_is_refused(text: str) -> None:
    """Another program's page on a worker's port is an error, not a number."""
    with pytest.raises(ValueError, match=r"not|convert"):
        list(parse(text))


@given(st.text(), st.text(min_size=1))
def test_any_label_survives_reading_and_merging(channel: str, worker: str) -> None:
    """Quotes, backslashes, line breaks of all kinds: what goes in comes out."""
    made = CollectorRegistry()
    Gauge("a", "A.", ["channel"], registry=made).labels(channel).set(1)
    text = generate_latest(made).decode("utf-8", "surrogatepass")
    (sample,) = parse(text)
    assert sample.labels == {"channel": channel}
    (merged,) = parse(merge({worker: text}))
    assert merged.labels == {"worker": worker, "channel": channel}
