"""Hashes that stand for people: stable under a key, worthless without it."""

from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.privacy import Hasher


@given(st.text(max_size=50))
def test_hash_is_stable_and_says_nothing(user: str) -> None:
    """The same under the same key, in every process; another under another key; 32 hex digits; never the id."""
    hashed = Hasher("secret").user(user)
    assert hashed == Hasher("secret").user(user)
    assert hashed != Hasher("secret2").user(user)
    assert len(hashed) == 32
    assert int(hashed, 16) >= 0
    assert user != hashed


@given(st.text(max_size=20), st.text(max_size=20))
def test_different_ids_have_different_hashes(one: str, other: str) -> None:
    """Users stay apart."""
    hasher = Hasher("secret")
    assert (hasher.user(one) == hasher.user(other)) == (one == other)


def test_plain_hash_is_another() -> None:
    """Who knows all ids but not the key cannot build the table."""
    assert Hasher("secret").user("u1") != blake2b(b"u1", digest_size=16).hexdigest()


def test_known_value() -> None:
    """The hash of an id must never change between versions: downstream joins on it."""
    assert Hasher("secret").user("u1") == "3eb12436fec385b87194e9dbec3c521d"


def test_users_and_addresses_are_apart() -> None:
    """An address used as a user id does not give away the hash of that address."""
    hasher = Hasher("secret")
    assert hasher.user("10.0.0.1") != hasher.ip("10.0.0.1")
    assert hasher.ip("10.0.0.1") == Hasher("secret").ip("10.0.0.1")


def test_empty_key_is_refused() -> None:
    """The message names the setting."""
    with pytest.raises(ValueError, match="CAMPAIGNWATCH_HASH_KEY"):
        Hasher("")
