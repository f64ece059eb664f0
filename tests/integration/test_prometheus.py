"""A real Prometheus that scrapes the workers sees the exact totals, also after one was killed."""

from pathlib import Path

import pytest

from streams.simulate import Options, Simulator, Truth
from tests.integration.running import SCALE, campaignwatch
from tests.integration.sending import send, send_references
from tests.integration.workers import running
from tests.prometheus import Prometheus

pytestmark = [pytest.mark.slow, pytest.mark.prometheus, pytest.mark.timeout(600)]

EVENTS = 10_000 * SCALE


def _clicks(truth: Truth) -> int:
    return sum(w["clicks"] for w in truth.windows() if (w["scope"], w["level"]) == ("channel", "1d"))


def test_sum_over_workers_is_the_number_of_accepted_clicks(bootstrap: str, prefix: str, tmp_path: Path) -> None:
    """sum(campaignwatch_clicks_total) is exact with two workers, and with one that took over from the other."""
    campaignwatch("topics", "create", "--broker", bootstrap, "--topic-prefix", prefix)
    truth = Truth()
    stream = Simulator(Options(seed=11, rate=500, events=2 * EVENTS, duplicates=0.02, hostile=0.02), truth=truth)
    send_references(bootstrap, prefix, stream)
    with running(2, bootstrap, prefix, tmp_path) as workers:
        targets = [f"127.0.0.1:{worker.port}" for worker in workers]
        with Prometheus(targets) as prometheus:

            send(bootstrap, prefix, stream, EVENTS)
            prometheus.wait_for("sum(campaignwatch_clicks_total)", lambda clicks: clicks == _clicks(truth), 120)
            workers[0].kill()
            send(bootstrap, prefix, stream, EVENTS)
            prometheus.wait_for("sum(campaignwatch_clicks_total)", lambda clicks: clicks == _clicks(truth), 120)
            assert not workers[0].alive()
