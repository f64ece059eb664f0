"""``campaignwatch simulate``, on a broker: what the truth file says is what arrived."""

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from agents.cli.main import app
from agents.cli.simulate import drive
from streams.clock import now_ms
from streams.decode import Decoder, Reject
from streams.kafka.admin import ensure_topics
from streams.settings import Settings
from streams.simulate import Options, Simulator, Truth
from streams.simulate.truth import load
from tests.integration.reading import read_topic, spans
from tests.waiting import wait_for

TOPICS = ("clicks", "orders", "social")


def named(prefix: str, counts: dict[str, int]) -> dict[str, int]:
    """Return counts by the full names of the input topics."""
    return {prefix + topic: counts.get(topic, 0) for topic in TOPICS}


def test_truth_file_counts_what_arrived(bootstrap: str, prefix: str, tmp_path: Path) -> None:
    """Offsets of each topic = records of the truth file; campaigns are there; nothing lies in the future."""
    file = tmp_path / "truth.json"
    command = ["simulate", "--broker", bootstrap, "--topic-prefix", prefix, "--rate", "0", "--events", "5000",
               "--duplicates", "0.02", "--hostile", "0.02", "--conflicts", "0.01", "--late", "0.05", "--campaigns", "9",
               "--truth", str(file)]
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "5,000 records sent" in result.stdout
    truth = load(file)
    assert truth["finished"] is True
    assert sum(truth["records"].values()) == 5_000
    assert spans(bootstrap, *named(prefix, {})) == named(prefix, truth["records"])
    assert len(read_topic(bootstrap, prefix + "campaigns")) == 9
    decoder = Decoder("social", floor_ms=0, skew_ms=0, max_bytes=262_144)
    judged = [decoder.decode(record.value, record.timestamp) for record in read_topic(bootstrap, prefix + "social")]
    in_future = sum(isinstance(one, Reject) and one.reason == "in_future" for one in judged)
    assert in_future == truth["rejects"]["social"].get("in_future", 0)


async def test_drive_sends_the_bytes_of_the_run(bootstrap: str, prefix: str) -> None:
    """Nothing is added, left out or changed on the way to the broker."""
    options = Options(seed=3, events=2_000, duplicates=0.1, hostile=0.02)
    truth, told = Truth(), []
    settings = Settings(broker=bootstrap, topic_prefix=prefix)
    assert await drive(settings, options, paced=False, truth=truth, sent=told.append)
    assert sum(told) == 2_000
    for topic in TOPICS:
        arrived = await asyncio.to_thread(read_topic, bootstrap, prefix + topic)
        made = [(key, value) for t, key, value in Simulator(options) if t == topic]
        assert Counter((record.key, record.value) for record in arrived) == Counter(made)
        assert sum(count for (of, _), count in truth.outcomes.items() if of == topic) == len(made)


async def test_a_paced_run_does_not_run_ahead_of_the_clock(bootstrap: str, prefix: str) -> None:
    """Event times are those of the clock: none lies after its record's own time."""
    settings = Settings(broker=bootstrap, topic_prefix=prefix)
    await drive(settings, Options(start_ms=now_ms(), rate=400, seconds=0.5, disorder_ms=0))
    for record in await asyncio.to_thread(read_topic, bootstrap, prefix + "clicks"):
        time = orjson.loads(record.value)["event_time"]
        assert isinstance(time, str) or time <= record.timestamp


def test_ctrl_c_ends_an_endless_run_and_its_truth_is_of_what_was_sent(
    bootstrap: str, prefix: str, tmp_path: Path
) -> None:
    """Exit code 0: that is how such a run ends."""
    file = tmp_path / "truth.json"
    asyncio.run(ensure_topics(bootstrap, Settings(broker=bootstrap, topic_prefix=prefix)))
    command = [sys.executable, "-m", "agents.cli.main", "simulate", "--broker", bootstrap, "--topic-prefix", prefix,
               "--rate", "300", "--truth", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            wait_for(lambda: spans(bootstrap, prefix + "clicks")[prefix + "clicks"] > 50, 30, "events arrive")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=10)
        finally:
            process.kill()
    assert (process.returncode, err) == (0, b"")
    assert b"stopped" in out
    truth = load(file)
    assert truth["finished"] is False
    assert spans(bootstrap, *named(prefix, {})) == named(prefix, truth["records"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--rate", "0"), "--rate 0: a run as fast as possible needs an end"),
        (("--rate", "-5"), "--rate: give"),
        (("--hostile", "3"), "--hostile: give a share"),
        (("--campaigns", "2"), "--campaigns: give"),
        (("--start", "yesterday"), "--start yesterday: is no time"),
        (("--start", "2026-01-01T00:00:00"), "is no time"),
        (("--start", "2099-01-01T00:00:00Z"), "in the future"),
        (("--truth", "absent/folder/truth.json"), "there is no folder"),
        (("--broker", "127.0.0.1:1"), "127.0.0.1:1"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments: tuple[str, ...], said: str) -> None:
    """What, where, how to mend it."""
    result = CliRunner().invoke(app, ["simulate", *arguments])
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_same_seed_and_start_send_the_same(bootstrap: str, prefix: str) -> None:
    """--start makes a run repeatable: the second lot is all duplicates."""
    command = ["simulate", "--broker", bootstrap, "--rate", "0", "--events", "300", "--start", "2026-01-01T00:00:00Z"]
    for name in ("a.", "b."):
        assert CliRunner().invoke(app, [*command, "--topic-prefix", prefix + name]).exit_code == 0
    first, second = (read_topic(bootstrap, f"{prefix}{name}clicks") for name in ("a.", "b."))
    assert {(r.partition, r.offset, r.value) for r in first} == {(r.partition, r.offset, r.value) for r in second}
