"""The first owner's steps: what a slice changes and sends, and that nothing is changed before it is durable."""

import inspect

import pytest

from streams.metrics import Metrics
from streams.reference import Reference
from streams.stage import Partition, Step
from tests.streams.harness import BASE, Crash, FakeMetrics, Flow, Raw, ad, order, settings, social

CLOSES = [ad(f"far{n}", 1_000, f"u{n}", channel="far") for n in range(4)]
"""Four users that move the watermark of clicks by 1,000 s."""


def state(partition: Partition) -> dict[bytes, bytes]:
    return dict(partition.dump())


def test_a_slice_moves_its_own_topic_only() -> None:
    """Three sources share one state; a step says how far it came in one of them."""
    flow = Flow()
    flow.send("clicks", ad(1, 0))
    flow.send("orders", order(1, 0), order(2, 0))
    owned = flow.ingest[0]
    owned.read("orders")
    assert owned.offsets == {"orders": 2}
    owned.read("clicks")
    assert owned.offsets == {"orders": 2, "clicks": 1}
    assert owned.ingest.sources["social"].ledger is None


def test_outputs_go_where_the_input_lies() -> None:
    """Enriched records keep the partition number; each topic has its own; dead letters go along."""
    flow = Flow()
    flow.send("clicks", ad(1, 0), b"{", partition=1)
    flow.send("social", social(1, 0), partition=1)
    flow.step()
    sizes = {name: len(log) for name, log in flow.topics.items() if name[0] not in ("panes", "campaign.windows")}
    assert sizes == {
        ("clicks", 1): 2, ("social", 1): 1, ("clicks.enriched", 1): 1, ("social.enriched", 1): 1,
        ("dead-letters", 1): 1, ("clicks", 0): 0, ("orders", 0): 0, ("social", 0): 0, ("orders", 1): 0,
    }  # fmt: skip


@pytest.mark.parametrize("prefix", ["", "test."])
def test_sources_are_named_as_on_the_broker(prefix: str) -> None:
    """Somebody with a dead letter in hand must find the record."""
    flow = Flow(settings(topic_prefix=prefix))
    flow.send("clicks", b"{", ad(1, 0))
    flow.step()
    assert flow.decoded("dead-letters")[0]["source"] == {"topic": f"{prefix}clicks", "partition": 0, "offset": 0}
    assert flow.decoded("clicks.enriched")[0]["source"] == {"topic": f"{prefix}clicks", "partition": 0, "offset": 1}


def test_take_changes_nothing_yet() -> None:
    """A step becomes visible through `apply` alone, and its outputs come before its changes."""
    flow = Flow()
    partition = flow.ingest[0].partition
    before = state(partition)
    step = partition.take("clicks", [Raw(7, ad(1, 0)), Raw(8, b"{")], 7, flow.now)
    assert state(partition) == before
    assert [(send.topic, send.partition) for send in step.before] == [("clicks.enriched", 0), ("dead-letters", 0)]
    assert (step.offsets, step.after) == ({"clicks": 9}, [])
    assert flow.metrics.events == {}
    partition.apply(step.changes)
    assert state(partition) != before


def test_tick_changes_nothing_yet() -> None:
    """Neither a publication nor a cleaning is visible before it is durable."""
    flow = Flow()
    flow.send("clicks", ad(1, 0), *CLOSES)
    owned = flow.ingest[0]
    owned.read("clicks")
    kinds = []
    for _ in range(2):
        flow.now += 1
        before = state(owned.partition)
        step = owned.partition.tick(flow.now, lambda _: False)
        assert isinstance(step, Step)
        assert state(owned.partition) == before
        kinds.append((bool(step.after), bool(step.changes)))
        owned.perform(step)
    assert kinds == [(True, False), (False, True)]


def test_offsets_without_records_are_explained() -> None:
    """Transaction markers before, inside and between slices are `absent` in the ledger."""
    flow = Flow()
    owned = flow.ingest[0]
    owned.perform(owned.partition.take("clicks", [Raw(12, ad(1, 0)), Raw(14, ad(2, 0))], 10, flow.now))
    owned.perform(owned.partition.take("clicks", [Raw(17, b"{")], 15, flow.now))
    outcomes, unexplained = flow.metrics.ledgers["clicks", 0]
    assert (outcomes["accepted"], outcomes["rejected"], outcomes["absent"], unexplained) == (2, 1, 5, 0)


def test_a_loss_stays_visible() -> None:
    """When the log was cut before it was read, the slice starts later: the hole is not explained."""
    flow = Flow()
    owned = flow.ingest[0]
    owned.perform(owned.partition.take("clicks", [Raw(0, ad(1, 0))], 0, flow.now))
    owned.perform(owned.partition.take("clicks", [Raw(9, ad(2, 0))], 9, flow.now))
    owned.take_over()
    assert flow.metrics.ledgers["clicks", 0][1] == 8


def test_metrics_of_a_slice_are_counted_when_it_is_durable() -> None:
    """Outcomes by type, dead letters by reason, routing and channels; a slice that crashed counts nothing."""
    reference = Reference()
    reference.put(b"c1", b'{"campaign_id":"c1","channel":"email"}')
    flow = Flow(reference=reference)
    flow.send("clicks", ad(1, 0), ad(1, 0), b"{")
    flow.topics["clicks", 0][0].key = b"\x01"
    owned = flow.ingest[0]
    owned.read("clicks", crash=Crash.AT_THE_END)
    assert flow.metrics.events == {}
    flow.ingest[0].offsets.clear()
    owned.groups.clear()
    owned.partition.clear()
    owned.read("clicks")
    assert flow.metrics.events == {
        ("clicks", "click", "accepted"): 1,
        ("clicks", "click", "duplicate"): 1,
        ("clicks", "unknown", "rejected"): 1,
    }
    assert flow.metrics.dead_letters == {("clicks", "malformed"): 1}
    assert (flow.metrics.misrouted["clicks"], flow.metrics.mismatches["clicks"]) == (1, 1)


def test_display_appears_with_possession_and_goes_with_it() -> None:
    """A new owner shows ledger and watermark at once; one that lost the partition shows nothing of it."""
    flow = Flow()
    flow.send("clicks", *CLOSES)
    owned = flow.ingest[0]
    owned.read("clicks")
    shown = (dict(flow.metrics.ledgers), dict(flow.metrics.watermarks))
    assert shown[1] == {("clicks", 0): BASE + 1_000_000}
    owned.partition.closed()
    assert (flow.metrics.ledgers, flow.metrics.watermarks) == ({}, {})
    owned.take_over()
    assert (flow.metrics.ledgers, flow.metrics.watermarks) == shown


def test_ids_are_remembered_across_slices_and_restarts() -> None:
    """A retry is recognised whoever owns the partition when it comes."""
    flow = Flow()
    flow.send("clicks", ad(1, 0))
    owned = flow.ingest[0]
    owned.read("clicks")
    for from_disk in (False, True):
        owned.take_over(from_disk=from_disk)
        flow.send("clicks", ad(1, 0))
        owned.read("clicks")
    assert flow.metrics.ledgers["clicks", 0][0]["duplicate"] == 2


def test_ids_are_forgotten_when_nothing_can_repeat_them() -> None:
    """State does not grow for ever: chunks go when the watermark has passed them by the horizon."""
    flow = Flow(settings(dedupe_horizon_ms=3_600_000, revision_horizon_ms=3_600_000))
    owned = flow.ingest[0]
    for hour in range(6):
        flow.send("clicks", *(ad(f"{hour}-{n}", hour * 3_600, f"u{n}") for n in range(4)))
        owned.read("clicks")
    chunks = [key for key in state(owned.partition) if key[:1] == b"d"]
    assert len(chunks) == len(owned.ingest.sources["clicks"].seen) / 4 == 2


def test_ids_are_remembered_while_a_repeat_could_count() -> None:
    """However short the horizon of repeats: what a late event may still revise, its repeat may not."""
    flow = Flow(settings(dedupe_horizon_ms=60_000, revision_horizon_ms=6 * 3_600_000))
    flow.send("clicks", ad(1, 0), *(ad(f"far{n}", 5 * 3_600, f"u{n}") for n in range(4)), ad(1, 0))
    flow.ingest[0].read("clicks", 2)
    flow.ingest[0].read("clicks")
    outcomes, _ = flow.metrics.ledgers["clicks", 0]
    assert (outcomes["accepted"], outcomes["duplicate"], outcomes["late"]) == (5, 1, 0)


def test_the_fake_metrics_are_like_the_real_ones() -> None:
    """What these tests record is what the worker can tell Prometheus."""
    for name, fake in inspect.getmembers(FakeMetrics, inspect.isfunction):
        if not name.startswith("_"):
            assert inspect.signature(fake) == inspect.signature(getattr(Metrics, name)), name


def test_rows_are_dropped_and_late_events_start_new_ones() -> None:
    """After its pane is over a row goes; a late event begins the next incarnation, which adds up."""
    flow = Flow(settings(partitions=1))
    flow.send("clicks", ad(1, 0, cost_micros=5, currency="EUR"), *CLOSES)
    flow.drain()
    owned, pane = flow.ingest[0], ("clicks", BASE, "search", "c1")
    assert pane not in owned.ingest.panes.rows
    flow.send("clicks", ad(2, 1, cost_micros=7, currency="EUR"))
    flow.step()
    assert owned.ingest.panes.rows[pane].incarnation == 5
    flow.drain()
    window = [w for w in flow.published() if w.level == "1m" and w.channel == "search" and w.scope == "channel"][-1]
    assert (window.clicks, window.spend_micros, window.state) == (2, {"EUR": 12}, "revised")
    assert flow.metrics.ledgers["clicks", 0][0]["late"] == 1


def test_clear_is_the_empty_state() -> None:
    """A copy that belongs to another log is forgotten whole."""
    flow = Flow()
    flow.send("clicks", ad(1, 0))
    flow.step()
    owned = flow.ingest[0]
    owned.partition.clear()
    assert state(owned.partition) == state(Flow().ingest[0].partition)
