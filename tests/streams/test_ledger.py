"""The ledger explains every offset that was passed, or says how many it does not."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.reasons import Outcome
from streams.ledger import Ledger

counts = st.dictionaries(st.sampled_from([*Outcome, "absent"]), st.integers(0, 1_000))


@given(st.integers(0, 10**6), st.lists(counts))
def test_it_balances_whatever_comes(start: int, slices: list[dict[str, int]]) -> None:
    """After any slices the passed offsets are explained to the last one, and one more is not."""
    ledger = Ledger(start)
    for found in slices:
        ledger = ledger.plus(found)
    passed = sum(sum(found.values()) for found in slices)
    assert ledger.unexplained(start + passed) == 0
    assert ledger.unexplained(start + passed + 1) == 1
    assert ledger.unexplained(start + passed - 1) == -1


def test_plus_leaves_the_old_ledger_alone() -> None:
    """A step that is thrown away must not have counted."""
    ledger = Ledger(5, accepted=1)
    assert ledger.plus({Outcome.ACCEPTED: 2, "absent": 1}) == Ledger(5, accepted=3, absent=1)
    assert ledger == Ledger(5, accepted=1)


def test_it_has_a_place_for_each_outcome() -> None:
    """An outcome without a column would be lost without a trace."""
    assert set(Ledger(0).outcomes()) == {*Outcome, "absent"}
