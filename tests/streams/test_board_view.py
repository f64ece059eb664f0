"""Names of campaigns on display: the first ones keep theirs, for good."""

import pytest

from streams.board_view import DisplayedTotals, View


def put(totals: DisplayedTotals, *names: tuple[str, str], clicks: int = 1) -> None:
    """Make the total of each name ``clicks``, all in one step."""
    for raw_key, raw in list(totals.encode({name: {"clicks": clicks} for name in names})):
        totals.put(raw_key, raw)


def test_first_come_first_named() -> None:
    """Beyond the limit all campaigns are shown together, and their sum is right."""
    totals = DisplayedTotals(2)
    put(totals, ("search", "c1"), ("search", "c2"), ("search", "c3"))
    put(totals, ("search", "c4"), ("email", "c1"), ("email", "c5"))
    put(totals, ("search", "c3"), ("search", "c1"), clicks=5)
    assert totals.picture() == {
        ("search", "c1"): {"clicks": 5},
        ("search", "c2"): {"clicks": 1},
        ("search", "other"): {"clicks": 6},
        ("email", "c1"): {"clicks": 1},
        ("email", "other"): {"clicks": 1},
    }


def test_no_campaign_is_shown_as_unknown() -> None:
    """Prometheus takes an empty label for none at all."""
    totals = DisplayedTotals(2)
    put(totals, ("search", ""))
    assert totals.picture() == {("search", "unknown"): {"clicks": 1}}


@pytest.mark.parametrize("most", [0, 1, 3])
@pytest.mark.parametrize("backwards", [False, True])
def test_names_survive_a_restart(most: int, backwards: bool) -> None:
    """Entries come back in any order, and the setting may have changed: nobody gets another name."""
    totals = DisplayedTotals(2)
    for name in ("z", "y", "a", "b"):
        put(totals, ("search", name))
    copy = DisplayedTotals(most)
    for raw_key, raw in sorted(totals.dump(), reverse=backwards):
        copy.put(raw_key, raw)
    assert (copy.names, copy.picture(), copy.exact) == (totals.names, totals.picture(), totals.exact)
    put(copy, *totals.exact, clicks=2)
    assert copy.names == totals.names
    assert dict(copy.dump()).keys() == dict(totals.dump()).keys()


def test_one_name_in_all_channels() -> None:
    """A campaign that has its name keeps it in a channel it comes to later, without taking another place."""
    totals = DisplayedTotals(1)
    put(totals, ("search", "c1"), ("search", "c2"))
    put(totals, ("email", "c1"), ("email", "c2"))
    assert totals.names == {
        ("search", "c1"): "c1", ("search", "c2"): "other", ("email", "c1"): "c1", ("email", "c2"): "other",
    }  # fmt: skip


def test_deciding_changes_nothing_yet() -> None:
    """A step that is thrown away has given no name away."""
    totals = DisplayedTotals(1)
    list(totals.encode({("search", "c1"): {"clicks": 1}}))
    put(totals, ("search", "c2"))
    assert totals.names == {("search", "c2"): "c2"}


def test_a_picture_stays_as_it_is() -> None:
    """Whoever holds a view does not see later numbers."""
    totals = DisplayedTotals(1)
    put(totals, ("search", "c1"))
    view = View(totals.picture(), {})
    put(totals, ("search", "c1"), clicks=9)
    assert view.totals() == {("search", "c1"): {"clicks": 1}}
    assert view.rolling() == {}


def test_clear_forgets_everything() -> None:
    """A partition that starts over gives its names anew."""
    totals = DisplayedTotals(1)
    put(totals, ("search", "c1"))
    totals.clear()
    assert totals.picture() == {}
    put(totals, ("search", "c2"))
    assert totals.picture() == {("search", "c2"): {"clicks": 1}}
