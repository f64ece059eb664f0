"""Real history replayed gives the exact totals of the file, with one worker and with three."""

import gzip
from pathlib import Path

import pytest

from streams.simulate.truth import recount
from tests.integration.reading import wait_for_windows
from tests.integration.running import campaignwatch, data_file
from tests.integration.workers import running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FILES = {
    "clicks": ("obd-clicks.jsonl.gz", "obd-clicks.jsonl.gz"),
    "orders": ("cdnow-orders.jsonl.gz", "cdnow-orders.jsonl"),
}


def _lines(path: Path) -> list[bytes]:
    raw = path.read_bytes()
    return (gzip.decompress(raw) if path.suffix == ".gz" else raw).splitlines()


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("topic", ["clicks", "orders"])
def test_every_window_of_a_replayed_file_is_exact(
    topic: str, workers: int, bootstrap: str, prefix: str, tmp_path: Path
) -> None:
    """All windows of all levels, by channel and by campaign, equal a recount of the file."""
    path = data_file(*FILES[topic])
    truth = recount(topic, _lines(path))
    campaignwatch("topics", "create", "--broker", bootstrap, "--topic-prefix", prefix)
    with running(workers, bootstrap, prefix, tmp_path) as started:
        campaignwatch("replay", str(path), "--topic", topic, "--broker", bootstrap, "--topic-prefix", prefix)
        wait_for_windows(bootstrap, prefix, truth, 180)
        assert [worker.starts for worker in started] == [1] * workers
        assert all(worker.alive() for worker in started)
