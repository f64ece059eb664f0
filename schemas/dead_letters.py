"""What is kept of a record that could not be counted: topic ``dead-letters``.

The only topic with raw bytes, so the only one with personal data: restricted, short retention. Easy to get wrong: an
error says where and what was expected; it never repeats a value.
"""

from typing import Annotated

from msgspec import Struct

from schemas.enriched import Source
from schemas.fields import SCHEMA_VERSION, Count, doc
from schemas.reasons import ErrorCode, RejectReason

__all__ = ["MOST_RAW_BYTES", "DeadLetter", "FieldError"]

MOST_RAW_BYTES = 65_536
"""How much of a record is kept. The digest tells whether a copy found elsewhere is the whole of it."""


class FieldError(Struct, frozen=True, gc=False):
    """One thing that is wrong."""

    path: Annotated[str, doc("Where: `$.cost_micros`, or `$` for the record as a whole.")]
    code: Annotated[ErrorCode, doc("What is wrong.")]
    detail: Annotated[str, doc("What was expected; never the value that came.")]


class DeadLetter(Struct, frozen=True):
    """A record that is not counted, and why."""

    reason: Annotated[RejectReason, doc("Why it is not counted.")]
    errors: Annotated[list[FieldError], doc("Everything found wrong, in the order of the contract's fields.")]
    raw_b64: Annotated[bytes | None, doc("The record's first 64 KiB, base64; null when it had no value at all.")]
    raw_bytes: Annotated[Count, doc("Length of the whole record, bytes.")]
    raw_sha256: Annotated[str, doc("SHA-256 of the whole record, hexadecimal.", pattern="^[0-9a-f]{64}$")]
    source: Annotated[Source, doc("The input record.")]
    schema_version: Annotated[int, doc("Version of this contract.", ge=1)] = SCHEMA_VERSION
