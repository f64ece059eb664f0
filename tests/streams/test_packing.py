"""No sum is too large for the state."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas.fields import MOST_MICROS
from streams.counts import Counts
from streams.packing import pack, unpacker
from streams.panes import Closed, PaneBatch, Row, SourceMark
from tests.streams.harness import Flow, order

sums = st.dictionaries(st.text(), st.integers(0, 2**64 - 1) | st.integers(2**63, 2**80))


@given(sums)
def test_every_sum_comes_back(counts: Counts) -> None:
    """Whatever its size, in whatever it is kept."""
    batch = PaneBatch(1, 2, [SourceMark("clicks", 3, None, True, Closed())],
                      [(("clicks", 0, "9", "7"), Row(4, 5, counts))], 6)  # fmt: skip
    assert unpacker(PaneBatch)(pack(batch)) == batch
    assert unpacker(dict[str, int])(pack(counts)) == counts


@given(sums.filter(lambda counts: max(counts.values(), default=0) < 2**64))
def test_ordinary_sums_are_plain_messagepack(counts: Counts) -> None:
    """Only what does not fit is written otherwise."""
    assert pack(counts) == msgspec.msgpack.encode(counts)


def test_no_amount_of_money_stops_a_worker() -> None:
    """More of the largest orders than 64 bits hold go the whole way, exactly, and through a restart."""
    count = 2**64 // MOST_MICROS + 2
    flow = Flow()
    flow.send("orders", *(order(n, 0, revenue_micros=MOST_MICROS, campaign_id="c1") for n in range(count)))
    flow.drain()
    for owned in (*flow.ingest, *flow.merge):
        owned.take_over(from_disk=True)
    flow.send("orders", order("last", 1, revenue_micros=7, campaign_id="c1"))
    flow.drain()
    totals = [counts for owned in flow.merge for counts in owned.merge.totals.exact.values()]
    assert totals == [{"orders": count + 1, "revenue:EUR": count * MOST_MICROS + 7}]
    assert [window.revenue_micros for window in flow.published()][-1] == {"EUR": count * MOST_MICROS + 7}
