"""Workers are killed in the middle of their work; no total changes."""

import random
import signal
from pathlib import Path

import pytest

from streams.simulate import Options, Simulator, Truth
from tests.integration.reading import spans, wait_for_windows
from tests.integration.running import SCALE, campaignwatch
from tests.integration.sending import send, send_references
from tests.integration.workers import Worker, running
from tests.waiting import wait_for

KILLS = 10 if SCALE > 1 else 3
STOPS = 2 if SCALE > 1 else 1
EVENTS_PER_FAULT = 6_000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_totals_survive_kill_9_and_zombies(bootstrap: str, prefix: str, tmp_path: Path) -> None:
    """After kills at random moments, and workers that sleep through a takeover, windows equal the truth."""
    campaignwatch("topics", "create", "--broker", bootstrap, "--topic-prefix", prefix)
    faults = ["kill"] * KILLS + ["stop"] * STOPS
    chance = random.Random(7)
    chance.shuffle(faults)
    truth = Truth()
    options = Options(seed=7, rate=400, events=EVENTS_PER_FAULT * (len(faults) + 1), duplicates=0.02, late=0.02,
                      currencies=("EUR", "USD"))
    stream = Simulator(options, truth=truth)
    send_references(bootstrap, prefix, stream)
    with running(3, bootstrap, prefix, tmp_path, slice_records=200, session_timeout_ms=6_000) as workers:
        send(bootstrap, prefix, stream, EVENTS_PER_FAULT)
        for fault in faults:
            before = _done(bootstrap, prefix)
            sent = send(bootstrap, prefix, stream, EVENTS_PER_FAULT)
            wanted = before + chance.randrange(1, sent // 2)
            wait_for(lambda goal=wanted: _done(bootstrap, prefix) >= goal, 60, "work in the middle of it", every=0.05)
            _strike(chance.choice(workers), fault)
        wait_for_windows(bootstrap, prefix, truth, 180)
        print("faults:", {name: faults.count(name) for name in set(faults)}, "starts:", [w.starts for w in workers])


def _done(bootstrap: str, prefix: str) -> int:
    return spans(bootstrap, f"{prefix}clicks.enriched")[f"{prefix}clicks.enriched"]


def _strike(worker: Worker, fault: str) -> None:
    if fault == "kill":
        worker.kill(signal.SIGKILL)
        worker.start()
        return
    worker.kill(signal.SIGSTOP)
    others_acquired = _acquired(worker)
    try:
        wait_for(lambda: _acquired(worker) > others_acquired, 60, "the others take over from a sleeping worker")
    finally:
        mine = _rounds(worker.log)
        worker.kill(signal.SIGCONT)
    wait_for(lambda: _rounds(worker.log) > mine, 60, "a woken worker joins again")


def _acquired(sleeper: Worker) -> int:
    logs = [path for path in sleeper.log.parent.glob("worker-*.log") if path != sleeper.log]
    return sum(map(_rounds, logs))


def _rounds(log: Path) -> int:
    return log.read_text().count("partitions acquired")
