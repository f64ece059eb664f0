"""Keyed hashes in place of personal identifiers.

A plain hash of a user id can be undone by trying all ids; with a secret key it
cannot. The same id always gives the same hash under one key, so a user's
events can still be joined downstream.

Source: BLAKE2b in keyed mode, RFC 7693.
"""

from functools import lru_cache
from hashlib import blake2b

__all__ = ["Hasher"]

_CACHE = 65_536
"""Active users remembered: most events come from users seen moments ago."""


class Hasher:
    """Hashes identifiers with one secret key.

    >>> hasher = Hasher("secret")
    >>> len(hasher.user("u1")), hasher.user("u1") == Hasher("other").user("u1")
    (32, False)
    """

    def __init__(self, key: str) -> None:
        """Take the secret; it must not be empty."""
        if not key:
            raise ValueError("the hash key is empty: set CAMPAIGNWATCH_HASH_KEY")
        secret = blake2b(key.encode(), digest_size=32).digest()

        def user(text: str) -> str:
            return blake2b(text.encode(), key=secret, digest_size=16).hexdigest()

        def ip(text: str) -> str:
            # apart from users: an address that somebody uses as user id must not give its hash away
            return blake2b(text.encode(), key=secret, digest_size=16, person=b"ip").hexdigest()

        self.user = lru_cache(_CACHE)(user)
        """Return the 32 hex digits that stand for a user."""
        self.ip = lru_cache(_CACHE)(ip)
        """Return the 32 hex digits that stand for a network address."""
