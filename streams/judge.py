"""One slice being judged: each record, in offset order, gets exactly one outcome.

    decode ─ rejected ─► dead letter
       └► seen before? ─ duplicate (counted), or conflict ─► dead letter
            └► too old to revise anything? ─ rejected ─► dead letter
                 └► accepted or late ─► enriched record, one pane updated

The rule easy to get wrong: *late* is judged against the watermark that this
source had before the record. It depends on nothing but the records before it,
however they were cut into slices, so a replay judges the same.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from schemas.events import AdEvent, Event, Order
from schemas.reasons import Outcome, RejectReason
from streams.counts import measure_of, money_of
from streams.decode import Decoded, Decoder, Reject
from streams.dedupe import SeenIds, SliceIds, event_key, fields_digest
from streams.enrich import Enricher
from streams.panes import Pane, PaneTable, Row, pane_start
from streams.source import Source
from streams.stage import Record

__all__ = ["Judge"]

ROUTING_SAMPLE = 500
"""One record in this many is checked for lying in its user's partition."""

ACCEPTED, LATE = Outcome.ACCEPTED, Outcome.LATE  # looked up once: it costs as much as hashing an id

generation = SeenIds.generation
_measure_of = lru_cache(64)(measure_of)
_money_of = lru_cache(1_024)(money_of)


class Judge:
    """Everything a slice would change; nothing is changed yet.

    Args:
        source: the source that the slice continues.
        panes: the open panes of its partition.
        decoder: of the source's topic.
        enricher: writes enriched records and dead letters.
        lateness_ms: an event is late this far behind the watermark.
        horizon_ms: it is rejected as too late this far behind.
    """

    def __init__(
        self,
        source: Source,
        panes: PaneTable,
        *,
        decoder: Decoder,
        enricher: Enricher,
        lateness_ms: int,
        horizon_ms: int,
    ) -> None:
        self._source = source
        self._panes = panes
        self._decoder = decoder
        self.enricher = enricher
        self._lateness_ms = lateness_ms
        self._horizon_ms = horizon_ms
        self.watermark = source.watermark.copy()
        self.ids = SliceIds(source.seen)
        self.changed: dict[Pane, Row] = {}
        self.enriched: list[tuple[bytes | None, bytes | None]] = []
        self.dead: list[tuple[bytes | None, bytes | None]] = []
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """Records by type and outcome."""
        self.reasons: Counter[str] = Counter()
        """Dead letters by reason."""

    def totals(self) -> dict[str, int]:
        """Return the number of records by outcome."""
        totals: Counter[str] = Counter()
        for (_, outcome), count in self.outcomes.items():
            totals[outcome] += count
        return dict(totals)

    def run(self, records: Sequence[Record]) -> None:
        """Judge ``records``, in order."""
        decode = self._decoder.decode
        for record in records:
            decoded = decode(record.value, record.timestamp)
            if isinstance(decoded, Decoded):
                self._judge(record, decoded.event, decoded.extra)
            else:
                self._dead_letter(record, decoded, Outcome.REJECTED)

    def _judge(self, record: Record, event: Event, extra: dict[str, Any]) -> None:
        key = event_key(event.user_id, event.event_id)
        digest = fields_digest(event)
        watermark = self.watermark.value
        first = self.ids.get(key, watermark)
        if first is not None:
            if first[1] == digest:
                self.outcomes[event.type, Outcome.DUPLICATE] += 1
            else:
                reject = Reject(RejectReason.CONFLICT, [], event.type)
                self._dead_letter(record, reject, Outcome.CONFLICT)
            return
        time = event.event_time
        outcome = ACCEPTED
        if watermark is not None and time < watermark - self._lateness_ms:
            outcome = LATE
            if time < watermark - self._horizon_ms:
                reject = Reject(RejectReason.TOO_LATE, [], event.type)
                self._dead_letter(record, reject, Outcome.REJECTED)
                return
        offset = record.offset
        self.ids.add(key, offset, digest, generation(time, watermark))
        kind = (event.type, outcome)
        self.outcomes[kind] = self.outcomes.get(kind, 0) + 1
        enriched = self.enricher.enrich(event, extra, outcome, offset)
        self.enriched.append(enriched.row)
        self.watermark.observe(enriched.user, time, offset)
        pane = (self._source.topic, pane_start(time), enriched.channel, enriched.campaign)
        self._fold(event, pane, offset)

    def _fold(self, event: Event, pane: Pane, offset: int) -> None:
        row = self.changed.get(pane)
        if row is None:
            row = self._panes.open(self.changed, pane, offset)
        row.offset = offset
        counts = row.counts
        measure = _measure_of(pane[0], event.type)
        counts[measure] = counts.get(measure, 0) + 1
        money, currency = _money(event)
        if money and currency:
            measure = _money_of(pane[0], event.type, currency)
            counts[measure] = counts.get(measure, 0) + money

    def _dead_letter(self, record: Record, reject: Reject, outcome: str) -> None:
        self.outcomes[reject.type, outcome] += 1
        self.reasons[reject.reason] += 1
        self.dead.append(self.enricher.dead_letter(record, reject))

    def misrouted(self, records: Sequence[Record], partition_of: Callable[[bytes], int], number: int) -> int:
        """Return how many of a sample of records lie in another partition than their key says."""
        sample: Iterator[bytes] = (r.key for r in records[::ROUTING_SAMPLE] if r.key)
        return sum(partition_of(key) != number for key in sample)


def _money(event: Event) -> tuple[int | None, str | None]:
    """Return the amount that an event moves and its currency."""
    if isinstance(event, AdEvent):
        return event.cost_micros, event.currency
    return (event.revenue_micros, event.currency) if isinstance(event, Order) else (None, None)
