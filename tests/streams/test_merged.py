"""The merged watermark: who holds it, who does not, and that it never falls."""

from hypothesis import given
from hypothesis import strategies as st

from streams.merged import SourceId, SourceSeen, SourceTable, merged_watermark
from streams.panes import Closed


def seen(*sources: tuple[int | None, bool]) -> dict[SourceId, SourceSeen]:
    """Return sources from (watermark, idle)."""
    return {(n, "clicks"): SourceSeen(1, watermark, idle, Closed()) for n, (watermark, idle) in enumerate(sources)}


def test_the_slowest_source_decides() -> None:
    """It is the minimum over the sources at work."""
    assert merged_watermark(seen((70, False), (50, False), (60, False)), 3, None) == 50


def test_a_source_that_has_not_spoken_holds() -> None:
    """Topic metadata promise a source: without its mark there is no watermark, or the old one stays."""
    assert merged_watermark(seen((70, False)), 2, None) is None
    assert merged_watermark(seen((70, False)), 2, 40) == 40


def test_a_source_without_a_watermark_holds() -> None:
    """It reads, but too few users were seen."""
    assert merged_watermark(seen((70, False), (None, False)), 2, None) is None
    assert merged_watermark(seen((70, False), (None, False)), 2, 40) == 40


def test_idle_sources_do_not_hold() -> None:
    """A silent partition blocks nothing, whether it ever had a watermark or not."""
    assert merged_watermark(seen((70, False), (50, True), (None, True)), 3, None) == 70


def test_all_idle_gives_the_newest() -> None:
    """When nothing more comes, the windows of the fastest source must close too."""
    assert merged_watermark(seen((70, True), (90, True), (None, True)), 3, 60) == 90


def test_all_idle_and_nothing_known() -> None:
    """Without a single event there is no watermark."""
    assert merged_watermark(seen((None, True), (None, True)), 2, None) is None


def test_it_never_falls() -> None:
    """An idle source that comes back with older events does not take the watermark back."""
    assert merged_watermark(seen((70, False), (50, False)), 2, 60) == 60


marks = st.lists(st.tuples(st.none() | st.integers(0, 100), st.booleans()), max_size=4)


@given(st.lists(marks), st.integers(1, 4))
def test_monotone_and_never_beyond_a_source(history: list[list[tuple[int | None, bool]]], expected: int) -> None:
    """Whatever the sources say, it only rises, and rises only to what every active source has reached."""
    value: int | None = None
    for said in history:
        before, value = value, merged_watermark(seen(*said), expected, value)
        assert before is None or (value is not None and value >= before)
        if value != before:
            assert value is not None
            assert len(said) >= expected
            assert all(idle or (mark is not None and mark >= value) for mark, idle in said)
            assert value <= max(mark for mark, _ in said if mark is not None)


def test_table_goes_through_bytes() -> None:
    """Marks and the newest epoch of each sender come back from their entries, in any order."""
    table, copy = SourceTable(), SourceTable()
    marks = {(0, "clicks"): SourceSeen(7, 70, True, Closed(60, 3)), (0, "orders"): SourceSeen(5, None, False, Closed())}
    for raw_id, raw in SourceTable.encode(marks):
        table.put(raw_id, raw)
    for raw_id, raw in reversed(list(SourceTable.encode(table.sources))):
        copy.put(raw_id, raw)
    assert copy.sources == marks
    assert copy.epochs == {0: 7}
    copy.clear()
    assert (copy.sources, copy.epochs) == ({}, {})
