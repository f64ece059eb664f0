"""Recorded files become records: whole, in order, under the right key, at the recorded pace."""

import gzip
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.replay import MAX_LINE_BYTES, Pace, ReplayError, Source, keyed

DATA = Path(__file__).parents[1] / "data"


def lines_of(path: Path) -> list[bytes]:
    """Return every line that a file yields."""
    source = Source(str(path))
    try:
        return [line for lot in source.batches() for line in lot]
    finally:
        source.close()


@pytest.mark.parametrize("name", ["obd-clicks.jsonl.gz", "cdnow-orders.jsonl"])
def test_every_line_of_a_file_comes_in_order(name: str) -> None:
    """Packed or not."""
    raw = (DATA / name).read_bytes()
    assert lines_of(DATA / name) == (gzip.decompress(raw) if name.endswith("gz") else raw).splitlines()


@given(lines=st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"").strip())), last=st.booleans())
def test_no_line_is_lost_at_the_edge_of_a_lot(lines: list[bytes], last: bool, tmp_path_factory: pytest.TempPathFactory,
                                              ) -> None:
    """However the file is cut into reads, with or without a newline at its end."""
    path = tmp_path_factory.mktemp("replay") / "lines"
    path.write_bytes(b"\n".join(lines) + (b"\n" if last else b""))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streams.replay.READ_BYTES", 7)
        patch.setattr("streams.replay.GZIP_MAGIC", b"never")
        assert lines_of(path) == [line for line in lines if line]


def test_lines_are_counted_with_the_empty_ones(tmp_path: Path) -> None:
    """A number in a message is the number an editor shows."""
    path = tmp_path / "lines"
    path.write_bytes(b"a\r\n\n  \nb")
    source = Source(str(path))
    assert [line for lot in source.batches() for line in lot] == [b"a", b"b"]
    assert source.line == 4
    assert source.done_bytes == source.total_bytes == 8


def test_a_file_is_unpacked_whatever_its_name(tmp_path: Path) -> None:
    """The content tells, not the ending."""
    path = tmp_path / "lines"
    path.write_bytes(gzip.compress(b"a\nb\n"))
    assert lines_of(path) == [b"a", b"b"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent", None, "absent: cannot be read"),
        ("cut.gz", gzip.compress(b"line\n" * 9)[:-9], "cut.gz: is damaged after line"),
        ("false.gz", b"no gzip at all", "false.gz: is damaged after line 0"),
        ("long", b"a\n" + b"x" * (MAX_LINE_BYTES + 1), "long:2: is longer than"),
        ("longer", b"a\n\n" + b"x" * 3_000_000 + b"\nb", "longer:3: is longer than"),
    ],
)
def test_a_file_that_cannot_be_read_is_said_in_one_line(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    """Which file, and where in it."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ReplayError) as caught:
        lines_of(tmp_path / name)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """As clear as a missing file."""
    with pytest.raises(ReplayError, match="cannot be read"):
        Source(str(tmp_path))


@given(user=st.text(st.characters(exclude_categories=["Cs"])), text=st.text(st.characters(exclude_categories=["Cs"])))
def test_the_key_is_what_a_json_reader_sees(user: str, text: str) -> None:
    """Escapes, look-alikes in texts and in nested objects change nothing."""
    event = {"text": f'"user_id":"x"{text}', "nested": {"user_id": "inner"}, "user_id": user}
    line = keyed("clicks", orjson.dumps(event))
    assert line.key == (user.encode() or None)


@pytest.mark.parametrize(
    "value", [b"no JSON", b"[]", b"{}", b'{"user_id":7}', b'{"user_id":""}', b'{"user_id":"\xff"}', b"[" * 100_000,
              b'{"user_id":"\\ud800"}', b'{"user_id":null}']
)
def test_what_has_no_user_has_no_key_and_is_still_sent(value: bytes) -> None:
    """Nothing is lost: the flow makes a dead letter of it."""
    line = keyed("clicks", value)
    assert (line.key, line.value) == (None, value)


def test_campaigns_are_keyed_by_campaign() -> None:
    """Reference data can be replayed too."""
    assert keyed("campaigns", b'{"campaign_id":"c1","user_id":"u"}').key == b"c1"


@pytest.mark.parametrize(
    ("time", "expected"),
    [(b"5", 5), (b'"1970-01-01T00:00:01.5Z"', 1_500), (b'"1970-01-01T01:00:01+01:00"', 1_000),
     (b'"1970-01-01T00:00:01"', None), (b'"soon"', None), (b"true", None), (b"1.5", None)],
)
def test_event_times_are_read_as_the_contract_has_them(time: bytes, expected: int | None) -> None:
    """Milliseconds or RFC 3339; what is neither has no time and goes with its neighbours."""
    assert keyed("clicks", b'{"user_id":"u","event_time":%b}' % time).time_ms == expected


def test_pace_follows_the_newest_time() -> None:
    """A line from the past waits for nobody, and does not move the others."""
    pace = Pace(speed=2)
    assert [pace.due(time, 10.0) for time in (1_000, 5_000, 3_000, None, 7_000)] == [10.0, 12.0, 12.0, 12.0, 13.0]


def test_pace_starts_with_the_first_line_that_has_a_time() -> None:
    """What comes before goes at once."""
    pace = Pace(speed=1)
    assert pace.due(None, 10.0) == 10.0
    assert pace.due(86_400_000, 11.0) == 11.0
    assert pace.due(86_401_000, 12.0) == 12.0
