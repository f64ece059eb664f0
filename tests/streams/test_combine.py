"""One slice of `panes` being merged: differences only, promises kept, old owners ignored."""

import msgspec
import pytest

from streams.board_view import DisplayedTotals
from streams.combine import Combination, RowTable
from streams.merged import Merged, SourceTable
from streams.panes import PANE_MS, Closed, Pane, PaneBatch, Row, SourceMark
from streams.rolling import RecentPanes
from streams.windows import LEVEL_MS, WindowKey, WindowTable
from tests.streams.harness import BASE

PANE: Pane = ("clicks", BASE, "search", "c1")
ONE: WindowKey = ("campaign", "search", "c1", "1m", BASE)


class Tables:
    """The durable tables of a merge partition, and slices merged into them."""

    def __init__(self, expected: int = 1) -> None:
        self.rows, self.sources, self.windows = RowTable(), SourceTable(), WindowTable()
        self.recent, self.totals, self.merged = RecentPanes(0), DisplayedTotals(10), Merged()
        self.expected = expected

    def merge(self, *batches: PaneBatch) -> Combination:
        """Merge one slice, durably."""
        combination = Combination(
            self.rows, self.sources, self.windows, self.recent, self.totals, self.merged, expected=self.expected
        )
        for batch in batches:
            combination.take(batch)
        for key, value in combination.changes():
            if key == b"m":
                self.merged = msgspec.msgpack.decode(value or b"", type=Merged)
            else:
                {b"r": self.rows, b"w": self.windows, b"q": self.recent, b"s": self.sources, b"t": self.totals}[
                    key[:1]
                ].put(key[1:], value)  # type: ignore[attr-defined]
        return combination

    def clicks(self, key: WindowKey = ONE) -> int:
        return self.windows.windows[key].counts.get("clicks", 0)


def row(clicks: int, offset: int = 9, incarnation: int = 5) -> Row:
    return Row(incarnation, offset, {"clicks": clicks})


def batch(
    *rows: Row,
    pane: Pane = PANE,
    epoch: int = 1,
    sender: int = 0,
    watermark: int | None = None,
    closed: Closed | None = None,
    idle: bool = False,
) -> PaneBatch:
    """Return what a sender says: rows of a pane, then the mark of its clicks."""
    mark = SourceMark("clicks", 100, watermark, idle, closed or Closed())
    return PaneBatch(sender, epoch, [mark], [(pane, made) for made in rows], 0)


def test_only_the_difference_counts() -> None:
    """Rows are cumulative: said again they add nothing, said larger they add what is new."""
    tables = Tables()
    tables.merge(batch(row(3)), batch(row(3)))
    tables.merge(batch(row(3)))
    tables.merge(batch(row(5, 12)), batch(row(6, 13)))
    assert {level: tables.clicks(("campaign", "search", "c1", level, BASE)) for level in LEVEL_MS} == dict.fromkeys(
        LEVEL_MS, 6
    )
    assert tables.totals.exact == {("search", "c1"): {"clicks": 6}}
    assert tables.recent.starts[BASE]["", BASE, "search", "c1"] == {"clicks": 6}


@pytest.mark.parametrize("slices", [1, 2])
def test_an_older_state_of_a_row_adds_nothing(slices: int) -> None:
    """Delivered again late, in the same slice or a later one, it neither adds nor takes away."""
    tables = Tables()
    batches = [batch(row(5, 12)), batch(row(3, 9))]
    for part in [batches] if slices == 1 else [[made] for made in batches]:
        tables.merge(*part)
    assert tables.clicks() == 5
    tables.merge(batch(row(6, 13)))
    assert tables.clicks() == 6


def test_senders_and_incarnations_add_up() -> None:
    """A pane is the sum over partitions, topics and the rows since each was dropped."""
    tables = Tables()
    tables.merge(batch(row(1)), batch(row(2), sender=1), batch(row(4, 30, 20)))
    orders = ("orders", BASE, "search", "c1")
    tables.merge(PaneBatch(0, 1, [], [(orders, Row(5, 9, {"orders": 8, "revenue:EUR": 7}))], 0))
    assert tables.windows.windows[ONE].counts == {"clicks": 7, "orders": 8, "revenue:EUR": 7}


@pytest.mark.parametrize("slices", [1, 2])
def test_older_epochs_are_ignored(slices: int) -> None:
    """What a zombie says after its successor spoke does not count, neither rows nor marks."""
    tables = Tables()
    batches = [batch(row(3), epoch=7, watermark=50), batch(row(9, 99), epoch=3, watermark=5_000)]
    for part in [batches] if slices == 1 else [[made] for made in batches]:
        stale = tables.merge(*part).stale
    assert (tables.clicks(), tables.merged.watermark, stale) == (3, 50, 1)
    assert tables.sources.sources[0, "clicks"].epoch == 7
    tables.merge(batch(row(4, 10), epoch=7))
    assert tables.clicks() == 4


def test_epochs_of_senders_have_nothing_to_do_with_each_other() -> None:
    """Each partition's log has its own epochs."""
    tables = Tables()
    tables.merge(batch(row(1), epoch=9), batch(row(1), epoch=2, sender=1))
    assert tables.clicks() == 2


CLOSED = Closed(BASE + PANE_MS, 20)


@pytest.mark.parametrize("slices", [1, 3])
def test_closed_rows_are_forgotten_but_not_taken_for_new(slices: int) -> None:
    """After a promise the row is gone, and a late copy of it adds nothing."""
    tables = Tables()
    batches = [batch(row(3)), batch(closed=CLOSED), batch(row(3), closed=CLOSED)]
    for part in [batches] if slices == 1 else [[made] for made in batches]:
        tables.merge(*part)
    assert (tables.rows.rows, tables.clicks()) == ({}, 3)


def test_a_row_and_its_promise_in_one_batch() -> None:
    """Rows are taken before the marks that go with them."""
    tables = Tables()
    tables.merge(batch(row(3), closed=CLOSED))
    assert (tables.rows.rows, tables.clicks()) == ({}, 3)


def test_a_late_incarnation_after_the_promise() -> None:
    """An event after the promise starts a new row, which counts, and closes with the next promise."""
    tables = Tables()
    tables.merge(batch(row(3), closed=CLOSED))
    tables.merge(batch(row(2, 25, incarnation=20), closed=CLOSED))
    assert (tables.clicks(), len(tables.rows.rows)) == (5, 1)
    tables.merge(batch(closed=Closed(BASE + 2 * PANE_MS, 30)))
    assert (tables.clicks(), tables.rows.rows) == (5, {})


def test_an_old_mark_does_not_take_a_promise_back() -> None:
    """Whatever comes again in whatever order: what was closed stays closed."""
    tables = Tables()
    first = batch(row(3))
    for made in (first, batch(closed=CLOSED), first, first, first):
        tables.merge(made)
    assert (tables.clicks(), tables.sources.sources[0, "clicks"].closed) == (3, CLOSED)


def test_promises_are_of_one_source_and_one_time() -> None:
    """Other senders, other topics and later panes are not closed with it."""
    tables = Tables()
    later = ("clicks", BASE + PANE_MS, "search", "c1")
    orders = PaneBatch(0, 1, [], [(("orders", BASE, "search", "c1"), Row(1, 1, {"orders": 1}))], 0)
    tables.merge(batch(row(1)), batch(row(1), sender=1), batch(row(1), pane=later), orders)
    tables.merge(batch(closed=CLOSED))
    assert {(i[0], i[1][0], i[1][1]) for i in tables.rows.rows} == {
        (1, "clicks", BASE), (0, "clicks", BASE + PANE_MS), (0, "orders", BASE),
    }  # fmt: skip


def test_the_watermark_is_of_all_expected_sources() -> None:
    """It waits for every source; labels move at the end of a slice only, and never back."""
    tables, seen = Tables(expected=2), []
    for made in (
        batch(watermark=90),
        batch(sender=1, watermark=70),
        batch(sender=1, watermark=40),
        batch(sender=1, watermark=40, idle=True),
    ):
        tables.merge(made)
        seen.append(tables.merged.watermark)
    assert seen == [None, 70, 70, 90]


def test_what_comes_for_an_evicted_window_is_counted_apart() -> None:
    """A window that is gone is not begun again with a lower number; wider ones that are still there grow."""
    tables = Tables()
    tables.merged = Merged(watermark=BASE + 400_000, evicted_until=BASE + 300_000)
    tables.merge(batch(row(3)))
    assert {key[3] for key in tables.windows.windows} == {"1h", "1d"}
    assert tables.merged.unwindowed == 3 * 2 * 2
    assert tables.totals.exact == {("search", "c1"): {"clicks": 3}}


def test_a_window_that_was_spared_still_grows() -> None:
    """Eviction in portions: what is still there takes its numbers."""
    tables = Tables()
    tables.merge(batch(row(3)))
    tables.merged.evicted_until = BASE + 300_000
    tables.merge(batch(row(4, 10)))
    assert (tables.clicks(), tables.merged.unwindowed) == (4, 0)


def test_nothing_is_changed_before_it_is_durable() -> None:
    """A slice that is thrown away leaves every table as it was."""
    tables = Tables()
    tables.merge(batch(row(3), watermark=10))
    before = msgspec.msgpack.encode([tables.merged, list(tables.windows.dump()), list(tables.totals.dump())])
    made = Combination(
        tables.rows, tables.sources, tables.windows, tables.recent, tables.totals, tables.merged, expected=1
    )
    made.take(batch(row(9, 99), closed=CLOSED, watermark=90))
    made.changes()
    after = msgspec.msgpack.encode([tables.merged, list(tables.windows.dump()), list(tables.totals.dump())])
    assert before == after
    assert [kept.counts for kept in tables.rows.rows.values()] == [{"clicks": 3}]
    assert tables.sources.sources[0, "clicks"].watermark == 10
    assert tables.recent.starts[BASE]["", BASE, "search", "c1"] == {"clicks": 3}
