"""Panes: cumulative rows, incarnations, and no row dropped before it left."""

from hypothesis import given
from hypothesis import strategies as st

from streams.panes import PANE_MS, Pane, PaneTable, Row, pane_start

SEARCH: Pane = ("clicks", 100_000, "search", "c1")


def store(table: PaneTable, changed: dict[Pane, Row], dropped: list[Pane] | None = None) -> None:
    """Make changes durable."""
    for raw_pane, raw_row in PaneTable.encode(changed, dropped or []):
        table.put(raw_pane, raw_row)


def fold(table: PaneTable, changed: dict[Pane, Row], pane: Pane, offset: int, clicks: int = 1) -> None:
    """Count one event, as a slice does."""
    row = changed.get(pane)
    if row is None:
        row = table.open(changed, pane, offset)
    row.offset = offset
    row.counts["clicks"] = row.counts.get("clicks", 0) + clicks


@given(st.integers(0, 10**14))
def test_a_pane_holds_its_time(time: int) -> None:
    """Panes are aligned, whatever the event time."""
    start = pane_start(time)
    assert start <= time < start + PANE_MS
    assert start % PANE_MS == 0


PANES = st.builds(
    lambda topic, n, channel, campaign: (topic, n * PANE_MS, channel, campaign),
    st.sampled_from(["clicks", "orders"]),
    st.integers(0, 3),
    st.sampled_from(["search", "social", "gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n"]),
    st.sampled_from(["", "c1"]),
)


@given(st.lists(PANES, max_size=40), st.sets(st.integers(0, 40)))
def test_rows_do_not_depend_on_slices(events: list[Pane], cuts: set[int]) -> None:
    """However records are cut, rows carry the same counts, first and last offsets."""
    tables = []
    for borders in (cuts, set(), set(range(40))):
        table, changed = PaneTable(), {}  # type: ignore[var-annotated]
        for offset, pane in enumerate(events):
            if offset in borders:
                store(table, changed)
                changed = {}
            fold(table, changed, pane, offset)
        store(table, changed)
        tables.append(table.rows)
    assert tables[0] == tables[1] == tables[2]
    assert sum(row.counts["clicks"] for row in tables[0].values()) == len(events)


@given(st.lists(PANES, max_size=20))
def test_dump_gives_the_same_table(events: list[Pane]) -> None:
    """Entries of a table, put into an empty one, are that table; all of it must be published again."""
    table, changed = PaneTable(), {}  # type: ignore[var-annotated]
    for offset, pane in enumerate(events):
        fold(table, changed, pane, offset)
    store(table, changed)
    copy = PaneTable()
    for raw_pane, raw_row in table.dump():
        copy.put(raw_pane, raw_row)
    assert copy.rows == table.rows
    assert copy.unpublished == set(table.rows)
    copy.clear()
    assert (copy.rows, copy.unpublished) == ({}, set())


def test_a_slice_changes_nothing_by_itself() -> None:
    """A slice that is thrown away leaves rows and counts as they were."""
    table, changed = PaneTable(), {}  # type: ignore[var-annotated]
    fold(table, changed, SEARCH, 5)
    store(table, changed)
    table.unpublished.clear()
    before = {pane: (row.incarnation, row.offset, dict(row.counts)) for pane, row in table.rows.items()}
    thrown_away: dict[Pane, Row] = {}
    fold(table, thrown_away, SEARCH, 9)
    fold(table, thrown_away, ("clicks", 0, "social", ""), 10)
    assert before == {pane: (row.incarnation, row.offset, row.counts) for pane, row in table.rows.items()}
    assert table.unpublished == set()


def test_row_after_a_dropped_one_is_a_new_incarnation() -> None:
    """It counts from zero under an identity of its own, so sums stay right."""
    table = PaneTable()
    first: dict[Pane, Row] = {}
    fold(table, first, SEARCH, 5)
    fold(table, first, SEARCH, 6)
    store(table, first)
    assert table.rows[SEARCH] == Row(5, 6, {"clicks": 2})
    store(table, {}, [SEARCH])
    assert table.rows == {}
    second: dict[Pane, Row] = {}
    fold(table, second, SEARCH, 40)
    store(table, second)
    assert table.rows[SEARCH] == Row(40, 40, {"clicks": 1})


def test_only_panes_that_ended_may_be_dropped() -> None:
    """Those of the same topic whose whole length lies before the time given."""
    table, changed = PaneTable(), {}  # type: ignore[var-annotated]
    for start in (0, PANE_MS, 2 * PANE_MS):
        for topic in ("clicks", "orders"):
            fold(table, changed, (topic, start, "search", ""), start)
    store(table, changed)
    table.unpublished.clear()
    assert table.droppable("clicks", PANE_MS - 1) == []
    assert table.droppable("clicks", 2 * PANE_MS) == [("clicks", 0, "search", ""), ("clicks", PANE_MS, "search", "")]


def test_what_was_not_published_may_not_be_dropped() -> None:
    """Its last state would be lost to the merge step."""
    table, changed = PaneTable(), {}  # type: ignore[var-annotated]
    fold(table, changed, SEARCH, 1)
    store(table, changed)
    assert table.droppable("clicks", 10**9) == []
    table.unpublished.clear()
    assert table.droppable("clicks", 10**9) == [SEARCH]
    again: dict[Pane, Row] = {}
    fold(table, again, SEARCH, 2)
    store(table, again)
    assert table.droppable("clicks", 10**9) == []


def test_dropping_comes_before_changing() -> None:
    """A pane dropped and opened again in one step is there afterwards."""
    table = PaneTable()
    store(table, {SEARCH: Row(1, 1, {"clicks": 1})}, [SEARCH])
    assert SEARCH in table.rows
