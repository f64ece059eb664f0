"""The bytes of a dead letter.

Easy to get wrong: length and digest are those of the whole record, though only its beginning is kept.
"""

from hashlib import sha256

import msgspec

from schemas.dead_letters import MOST_RAW_BYTES, DeadLetter, FieldError
from schemas.enriched import Source
from schemas.reasons import RejectReason

__all__ = ["dead_letter"]

_encode = msgspec.json.Encoder().encode


def dead_letter(reason: RejectReason, errors: list[FieldError], raw: bytes | None, source: Source) -> bytes:
    """Return the value of a record on ``dead-letters``.

    >>> letter = dead_letter(RejectReason.MALFORMED, [], b"{", Source("clicks", 0, 7))
    >>> msgspec.json.decode(letter, type=DeadLetter).raw_b64
    b'{'
    """
    whole = raw or b""
    letter = DeadLetter(
        reason=reason,
        errors=errors,
        raw_b64=None if raw is None else whole[:MOST_RAW_BYTES],
        raw_bytes=len(whole),
        raw_sha256=sha256(whole).hexdigest(),
        source=source,
    )
    return _encode(letter)
