"""A tiny run of the benchmark: both contestants finish it and count the same."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.bench import arena, prepare, report
from benchmarks.contestants import Arena, Ours, Plain, Run, WrongCountError
from benchmarks.events import Shape, campaign_of, rows

TINY = Shape(events=3_000, users=50, campaigns=12, pace=500)


def test_the_same_seed_makes_the_same_events() -> None:
    """Rounds and runs can be compared."""
    assert list(rows(TINY, 1_700_000_000_000)) == list(rows(TINY, 1_700_000_000_000))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_both_contestants_count_the_same(bootstrap: str, prefix: str, tmp_path: Path) -> None:
    """One worker's windows and plain Faust's table hold what went in, campaign by campaign."""
    prepared = prepare(TINY, 6)
    place = arena(bootstrap, prepared, tmp_path, prefix.rstrip("."))
    truth = Counter(campaign_of(value) for _, value in prepared.rows)
    ours, plain = Ours(place).run(), Plain(place).run(60)
    assert ours.counts == plain.counts == truth
    assert ours.rate > 0 < plain.rate


def test_the_report_compares_medians() -> None:
    """One disturbed round does not decide."""
    ours = [Run(10, rate, 20.0, {}) for rate in (60_000, 52_000, 1_000)]
    plain = [Run(10, rate, 20.0, {}) for rate in (2_000, 2_600, 2_500)]
    assert "20.8 times plain Faust; aim 50,000/s and 15 times: met" in report(ours, plain)


def test_a_wrong_sum_is_no_result(tmp_path: Path) -> None:
    """A contestant whose table is not the first events of each partition is refused."""
    plain = Plain(Arena("127.0.0.1:1", "t.", tmp_path, [["a", "b", "a"], ["b"]]))
    record = SimpleNamespace(partition=0, key=b'"a"', value=b"1")
    assert plain._checked([record]) == {"a": 1}
    with pytest.raises(WrongCountError, match="2 counted, 1 events read"):
        plain._checked([SimpleNamespace(partition=0, key=b'"a"', value=b"2")])
