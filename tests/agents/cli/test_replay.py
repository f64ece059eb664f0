"""``campaignwatch replay``, on a broker: every line arrives once, in the partition of its user."""

import asyncio
import gzip
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from click.testing import Result
from typer.testing import CliRunner

from agents.cli.errors import UserError
from agents.cli.main import app
from agents.cli.replay import speed_of
from streams.clock import monotonic
from streams.kafka.admin import ensure_topics
from streams.kafka.produce import partition_of
from streams.settings import Settings
from tests.integration.reading import read_topic, spans
from tests.waiting import wait_for

DATA = Path(__file__).parents[2] / "data"
OBD = DATA / "obd-clicks.jsonl.gz"
CDNOW = DATA / "cdnow-orders.jsonl"

Run = Callable[..., Result]


@pytest.fixture
def run(bootstrap: str, prefix: str) -> Run:
    """Return how to run ``campaignwatch replay …`` against topics of this test's own."""

    def replay(*arguments: object, stdin: bytes | None = None) -> Result:
        command = ["replay", *map(str, arguments), "--broker", bootstrap, "--topic-prefix", prefix]
        return CliRunner().invoke(app, command, input=stdin)

    return replay


def test_every_line_arrives_once_with_its_users_key(run: Run, bootstrap: str, prefix: str) -> None:
    """In the partition of the standard partitioner, the lines of each user in the order of the file."""
    result = run(OBD, "--topic", "clicks")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("replay: 826 records sent")
    records = read_topic(bootstrap, prefix + "clicks")
    lines = gzip.decompress(OBD.read_bytes()).splitlines()
    assert sorted(record.value for record in records) == sorted(lines)
    by_user: dict[str, list[bytes]] = {}
    for line in lines:
        by_user.setdefault(orjson.loads(line)["user_id"], []).append(line)
    arrived: dict[str, list[bytes]] = {}
    for record in records:
        arrived.setdefault(record.key.decode(), []).append(record.value)
        assert record.partition == partition_of(record.key, 6)
    assert arrived == by_user


def test_several_files_go_in_their_order(run: Run, bootstrap: str, prefix: str, tmp_path: Path) -> None:
    """The second file after the first, each line of it."""
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_bytes(b"".join(b'{"user_id":"u","n":"%b%d"}\n' % (file.name.encode(), n) for n in range(5)))
    assert run(*files, "--topic", "social").exit_code == 0
    said = [orjson.loads(record.value)["n"] for record in read_topic(bootstrap, prefix + "social")]
    assert said == [f"{name}{n}" for name in "ab" for n in range(5)]


def test_lines_that_are_no_events_are_sent_without_a_key(run: Run, bootstrap: str, prefix: str, tmp_path: Path) -> None:
    """They become dead letters downstream; the summary counts them."""
    bad = [b"no JSON", b"\xff\xfe", b'{"type":"click"}']
    (tmp_path / "bad").write_bytes(b"\n".join([*bad, b"", b""]))
    result = run(tmp_path / "bad", "--topic", "clicks")
    assert "3 without a user_id, 1 empty lines" in result.stdout
    records = read_topic(bootstrap, prefix + "clicks")
    assert sorted(record.value for record in records) == sorted(bad)
    assert {record.key for record in records} == {None}


def test_the_records_time_is_now(run: Run, bootstrap: str, prefix: str) -> None:
    """Orders of 1997 lie in the past of their records."""
    run(CDNOW, "--topic", "orders")
    assert all(record.timestamp > 1_700_000_000_000 for record in read_topic(bootstrap, prefix + "orders"))


def test_speed_keeps_the_recorded_pace(run: Run, tmp_path: Path) -> None:
    """Half a minute of event time at 60x takes half a second at least."""
    lines = [b'{"user_id":"u","event_time":%d}' % time for time in (0, 15_000, 30_000)]
    (tmp_path / "paced").write_bytes(b"\n".join(lines))
    began = monotonic()
    assert run(tmp_path / "paced", "--topic", "clicks", "--speed", "60x").exit_code == 0
    assert monotonic() - began >= 0.5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("absent.jsonl", "--topic", "clicks"), "absent.jsonl: cannot be read"),
        ((CDNOW, "absent.jsonl", "--topic", "orders"), "absent.jsonl: cannot be read"),
        ((CDNOW, "--topic", "order"), "--topic order: is no input topic; give orders"),
        ((CDNOW, "--topic", "alerts"), "give"),
        ((CDNOW, "--topic", "orders", "--speed", "fast"), "--speed fast: is no speed"),
        ((CDNOW, "--topic", "orders", "--broker", "127.0.0.1:1"), "127.0.0.1:1"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments: tuple[object, ...], said: str) -> None:
    """Before anything is sent."""
    result = CliRunner().invoke(app, ["replay", *map(str, arguments)])
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_file_damaged_in_the_middle_says_how_much_was_sent(run: Run, tmp_path: Path) -> None:
    """So that nobody takes half a replay for a whole one."""
    good, bad = tmp_path / "good", tmp_path / "bad.gz"
    good.write_bytes(b'{"user_id":"u"}\n' * 3)
    bad.write_bytes(b"no gzip")
    result = run(good, bad, "--topic", "clicks")
    assert result.exit_code == 2
    assert "bad.gz: is damaged" in result.stderr
    assert "3 records before it were sent" in result.stderr


@pytest.mark.parametrize("text", ["0", "-1x", "nan", "1y", "", "infx"])
def test_what_is_no_speed_is_refused(text: str) -> None:
    """Zero would never end, and infinity is called max."""
    with pytest.raises(UserError, match="is no speed"):
        speed_of(text)


def test_standard_input_is_sent_as_it_comes_and_ctrl_c_ends(bootstrap: str, prefix: str) -> None:
    """A pipe that stays open does not keep back its lines, nor the process."""
    asyncio.run(ensure_topics(bootstrap, Settings(broker=bootstrap, topic_prefix=prefix)))
    command = [sys.executable, "-m", "agents.cli.main", "replay", "-", "--topic", "clicks", "--broker", bootstrap,
               "--topic-prefix", prefix]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        try:
            process.stdin.write(b'{"user_id":"u"}\n')
            process.stdin.flush()
            wait_for(lambda: spans(bootstrap, prefix + "clicks")[prefix + "clicks"] == 1, 30, "the line arrives")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=10)
        finally:
            process.kill()
    assert (process.returncode, err) == (130, b"")
    assert b"1 records sent" in out
    assert b"stopped before the end" in out
