"""Every record of a hostile stream has exactly one outcome, and the outcomes add up to the offsets."""

from pathlib import Path

import pytest

from schemas.events import INPUTS
from streams.simulate.truth import load
from tests.integration.reading import spans, wait_for_windows
from tests.integration.running import SCALE, campaignwatch
from tests.integration.workers import metric_sum, running
from tests.waiting import wait_for

OUTCOMES = ("accepted", "late", "duplicate", "conflict", "rejected")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_outcomes_add_up_to_the_span_of_source_offsets(bootstrap: str, prefix: str, tmp_path: Path) -> None:
    """accepted + late + duplicate + conflict + rejected = in, per topic, and no worker restarts."""
    events = 20_000 * SCALE
    broker = ("--broker", bootstrap, "--topic-prefix", prefix)
    truth_file = tmp_path / "truth.json"
    campaignwatch("topics", "create", *broker)
    with running(2, bootstrap, prefix, tmp_path) as workers:
        campaignwatch(
            "simulate", "--rate", "0", "--events", str(events), "--duplicates", "0.02", "--conflicts", "0.005",
            "--late", "0.02", "--currencies", "EUR,USD", "--hostile", "0.02", "--truth", str(truth_file), *broker,
        )  # fmt: skip
        came = spans(bootstrap, *(prefix + topic for topic in INPUTS))
        assert sum(came.values()) >= events

        def accounted() -> dict[str, dict[str, int]]:
            text = "\n".join(worker.metrics() for worker in workers)
            name = "campaignwatch_ledger_events"
            return {t: {o: round(metric_sum(text, name, topic=t, outcome=o)) for o in OUTCOMES} for t in INPUTS}

        wait_for(
            lambda: all(sum(accounted()[topic].values()) == came[prefix + topic] for topic in INPUTS),
            120,
            "every offset is accounted for",
        )
        ledger = accounted()
        for topic in INPUTS:
            assert sum(ledger[topic].values()) == came[prefix + topic]
        assert all(metric_sum(worker.metrics(), "campaignwatch_ledger_unexplained") == 0 for worker in workers)
        truth = load(truth_file)
        for topic, expected in truth["outcomes"].items():
            counted = ledger[topic]["accepted"] + ledger[topic]["late"]
            found = {"counted": counted, **{name: ledger[topic][name] for name in OUTCOMES[2:]}}
            assert {name: found[name] for name in expected} == expected
        wait_for_windows(bootstrap, prefix, truth, 120)
        assert all(worker.alive() and worker.starts == 1 for worker in workers)
