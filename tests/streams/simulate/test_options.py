"""Options that make no run are refused by name."""

from typing import Any

import pytest

from streams.simulate import Options, OptionsError


@pytest.mark.parametrize(
    ("option", "value"),
    [("duplicates", -0.1), ("hostile", 1.5), ("rate", 0), ("rate", float("nan")), ("events", -1), ("seconds", -1),
     ("users", 0), ("channels", 0), ("channels", 9), ("campaigns", 3), ("disorder_ms", -1), ("start_ms", 0)],
)
def test_a_wrong_option_is_named(option: str, value: Any) -> None:
    """The error carries the option, the text says what to give."""
    with pytest.raises(OptionsError, match="give") as caught:
        Options(**{option: value})
    assert caught.value.option == option


def test_shares_may_not_add_up_to_more_than_everything() -> None:
    """Half hostile and two thirds duplicates is more than there is."""
    with pytest.raises(OptionsError, match="add up"):
        Options(hostile=0.5, duplicates=0.66)


def test_options_can_be_written_down() -> None:
    """Every option is in the truth file."""
    assert Options(seed=7).as_dict()["seed"] == 7
    assert Options(**Options(seed=7).as_dict()) == Options(seed=7)  # type: ignore[arg-type]
