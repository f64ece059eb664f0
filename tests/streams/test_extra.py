"""Unknown fields are kept within limits, and nothing personal among them."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.extra import MOST_BYTES, MOST_DEPTH, MOST_FIELDS, MOST_NAME, is_personal, kept
from tests.builders import JSON


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "name",
    ["email", "E-Mail", "user_email", "emailHash", "phone", "phoneNumber", "mobile", "name", "first_name", "lastName",
     "SURNAME", "address", "shipping_address_2", "ip", "IP-Address", "client_ipaddr", "date_of_birth", "zip", "ssn",
     "password", "userId", "iban"],
)  # fmt: skip
def test_personal_names_are_known(name: str) -> None:
    """Case, separators and what surrounds the word do not hide it."""
    assert is_personal(name)


@pytest.mark.parametrize("name", ["product_name", "campaign_name", "zipper", "shipping", "tip", "coupon", "", "país"])
def test_other_names_are_not_personal(name: str) -> None:
    """A name that merely resembles one is kept."""
    assert not is_personal(name)


def test_a_field_beyond_a_limit_is_left_out_whole_and_the_rest_stays() -> None:
    """Depth, length of the name, size, and numbers beyond 64 bits."""
    unknown = {
        "deep": _nested(MOST_DEPTH + 1),
        "n" * (MOST_NAME + 1): 1,
        "large": "x" * MOST_BYTES,
        "huge": [2**63],
        "inner": {"n" * (MOST_NAME + 1): 1, "a": 1},
        "last": -(2**63),
    }
    assert kept(unknown) == {"inner": {"a": 1}, "last": -(2**63)}


def test_the_limits_themselves_are_allowed() -> None:
    """The deepest value, the longest name and the largest text that fit are kept."""
    text = "x" * (MOST_BYTES - len('{"t":""}'))
    for unknown in ({"d": _nested(MOST_DEPTH)}, {"n" * MOST_NAME: 1}, {"t": text}):
        assert kept(unknown) == unknown


def test_the_limit_of_size_is_that_of_all_fields_together() -> None:
    """A field that no longer fits is left out; a smaller one after it may still fit."""
    most = "x" * (MOST_BYTES - 100)
    assert list(kept({"a": most, "b": "y" * 100, "c": 1})) == ["a", "c"]


def test_only_so_many_fields_are_kept() -> None:
    """The first ones, in their order."""
    unknown = {f"f{number}": number for number in range(MOST_FIELDS + 1)}
    assert list(kept(unknown)) == [f"f{number}" for number in range(MOST_FIELDS)]


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=20), JSON))
def test_what_is_kept_can_be_written_and_is_kept_again(unknown: dict[str, Any]) -> None:
    """It fits any JSON writer, it is small, and it hides nothing that a second look would drop."""
    extra = kept(unknown)
    assert len(msgspec.json.encode(extra)) <= MOST_BYTES
    assert kept(extra) == extra
    assert not any(map(is_personal, extra))
