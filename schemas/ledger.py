"""What came in and what became of it, minute by minute: topic ``ledger``.

Easy to get wrong: ``records_in`` is a span of source offsets, never a counter of ours, else a lost record would be
missing on both sides. ``unexplained`` is what is left over: 0, or something is wrong.
"""

from typing import Annotated

from msgspec import Struct

from schemas.fields import SCHEMA_VERSION, Count, EpochMs, MoneyByCurrency, doc

__all__ = ["LedgerMinute"]


class LedgerMinute(Struct, kw_only=True, frozen=True):
    """The account of one input topic for one minute in which Kafka received its records."""

    topic: Annotated[str, doc("Input topic.")]
    minute_ms: Annotated[EpochMs, doc("Start of the minute, epoch milliseconds.")]
    revision: Annotated[Count, doc("Counts up with each publication of this minute; the highest is the newest.")]
    records_in: Annotated[Count, doc("Source offsets passed.")]
    accepted: Annotated[Count, doc("Counted in time.")]
    late: Annotated[Count, doc("Counted late.")]
    duplicate: Annotated[Count, doc("Repeats, not counted.")]
    conflict: Annotated[Count, doc("Known ids with other content, not counted.")]
    rejected: Annotated[Count, doc("Not countable.")]
    absent: Annotated[Count, doc("Offsets at which Kafka keeps no record, such as transaction markers.")]
    unexplained: Annotated[int, doc("Records in, less all outcomes and absent offsets; 0 when the books balance.")]
    spend_in_micros: Annotated[MoneyByCurrency, doc("Cost in accepted and late events, micros by currency.")]
    spend_out_micros: Annotated[MoneyByCurrency, doc("Cost in the windows they went to, micros by currency.")]
    schema_version: Annotated[int, doc("Version of this contract.", ge=1)] = SCHEMA_VERSION
