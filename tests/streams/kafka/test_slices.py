"""Slices keep every record, in order, and know where they lie."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from streams.kafka.slices import cut


@given(st.lists(st.integers(1, 3), max_size=40), st.integers(1, 10))
def test_cutting_keeps_every_record(steps: list[int], size: int) -> None:
    """Slices together are the records, none is larger than asked for or empty, and bounds are offsets."""
    offsets = [sum(steps[: count + 1]) for count in range(len(steps))]
    records = [SimpleNamespace(offset=offset) for offset in offsets]
    pieces = list(cut("clicks", 3, 7, records, size))  # type: ignore[arg-type]
    assert [record for piece in pieces for record in piece.records] == records
    for piece in pieces:
        assert (piece.topic, piece.partition, piece.generation) == ("clicks", 3, 7)
        assert 1 <= len(piece.records) <= size
        assert (piece.first, piece.last) == (piece.records[0].offset, piece.records[-1].offset)
