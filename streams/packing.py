"""State as bytes: MessagePack, with sums of any size.

The format ends at 64 bits, money does not: some ten thousand of the largest orders that the contract allows come to
more, and a total grows as long as the deployment lives. Such a number is written as text; reading takes both.

Easy to get wrong: a sum that cannot be written would stop the worker, and stop it again after each restart.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

__all__ = ["pack", "unpacker"]

_Kind = TypeVar("_Kind")
_encode = msgspec.msgpack.Encoder().encode
_MOST = 2**64 - 1


def pack(value: object) -> bytes:
    """Return ``value`` as bytes.

    >>> unpacker(dict[str, int])(pack({"revenue:IDR": 2**64})) == {"revenue:IDR": 2**64}
    True
    """
    try:
        return _encode(value)
    except OverflowError:
        return _encode(_written_out(msgspec.to_builtins(value)))


def unpacker(kind: type[_Kind]) -> Callable[[bytes], _Kind]:
    """Return the function that reads what :func:`pack` wrote."""
    return msgspec.msgpack.Decoder(kind, strict=False).decode


def _written_out(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _written_out(kept) for key, kept in value.items()}
    if isinstance(value, list | tuple):
        return [_written_out(kept) for kept in value]
    return str(value) if isinstance(value, int) and value > _MOST else value
