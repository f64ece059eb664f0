"""The first owner: raw records of one partition number become panes, enriched records, dead letters.

Entries of the state, by the first letter of their key: ``p`` open pane rows,
``d`` chunks of remembered ids, and what each source keeps (``streams/source.py``).

The rule easy to get wrong: clicks, orders and social of one partition number
share one state and one log of groups, so a step must say how far it came in
its own topic only; the other offsets stay as they are.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from schemas.events import INPUTS
from streams.decode import Decoder
from streams.enrich import Enricher
from streams.judge import Judge
from streams.ledger import Ledger
from streams.metrics import Metrics
from streams.pane_feed import PaneFeed
from streams.panes import PaneTable
from streams.privacy import Hasher
from streams.reference import Reference
from streams.settings import Settings
from streams.source import Source, chunk_key, chunk_name, source_key
from streams.stage import Change, Partition, Record, Send, Step

__all__ = ["IngestPartition", "IngestStage"]

_pack = msgspec.msgpack.Encoder().encode
_PANE = b"p"[0]
_CHUNK = b"d"[0]


class IngestPartition:
    """The state of one partition number: three sources and their open panes."""

    def __init__(self, stage: "IngestStage", number: int) -> None:
        self.number = number
        self._stage = stage
        settings = stage.settings
        # Whatever may still be counted must be recognised when it comes again.
        horizon = max(settings.dedupe_horizon_ms, settings.revision_horizon_ms)
        self.sources = {t: Source(t, dedupe_horizon_ms=horizon) for t in stage.sources}
        self.panes = PaneTable()
        self.feed = PaneFeed(number, self.sources, self.panes, settings)

    # -- state ---------------------------------------------------------------

    def apply(self, changes: Iterable[Change]) -> None:
        """Take durable changes."""
        for key, value in changes:
            kind = key[0]
            if kind == _PANE:
                self.panes.put(key[1:], value)
            elif kind == _CHUNK:
                topic, generation, chunk = chunk_name(key)
                self.sources[topic].put_chunk(generation, chunk, value)
            elif value is not None:
                self.sources[key[1:].decode()].put(key[:1], value)

    def dump(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield every entry of the state."""
        for source in self.sources.values():
            yield from source.dump()
        for key, value in self.panes.dump():
            yield b"p" + key, value

    def clear(self) -> None:
        """Become the empty state."""
        self.panes.clear()
        for source in self.sources.values():
            source.clear()

    def opened(self, epoch: int, offsets: dict[str, int], now: float) -> None:
        """Start under a new epoch: all open rows are published again."""
        self.feed.opened(epoch, offsets, now)
        for topic, source in self.sources.items():
            self._show(source, offsets.get(topic))

    def closed(self) -> None:
        """Take this partition's numbers off display."""
        for topic in self.sources:
            self._stage.metrics.forget_source(topic, self.number)

    # -- steps ---------------------------------------------------------------

    def take(self, topic: str, records: Sequence[Record], start: int, now: float) -> Step:
        """Judge the records of one slice."""
        source, stage = self.sources[topic], self._stage
        judge = stage.judge(source, self.panes, self.number)
        judge.run(records)
        after = records[-1].offset + 1
        misrouted = judge.misrouted(records, stage.partition_of, self.number)

        def done() -> None:
            self.feed.took(topic, after, records[0].timestamp, now)
            stage.metrics.count_events(topic, judge.outcomes)
            stage.metrics.count_dead_letters(topic, judge.reasons)
            stage.metrics.count_misrouted(topic, misrouted)
            stage.metrics.count_channel_mismatch(topic, judge.enricher.mismatches)
            self._show(source, after)

        sends = []
        if judge.enriched:
            sends.append(Send(f"{topic}.enriched", self.number, judge.enriched))
        if judge.dead:
            sends.append(Send("dead-letters", self.number, judge.dead))
        absent = after - start - len(records)
        changes = [*self._of_source(source, judge, start, absent), *self._of_panes(judge)]
        return Step(changes, {topic: after}, before=sends, done=done)

    def tick(self, now: float, caught_up: Callable[[str], bool]) -> Step | None:
        """Publish changed panes and marks, or drop panes that are over."""
        return self.feed.tick(now, caught_up)

    def _of_source(self, source: Source, judge: Judge, start: int, absent: int) -> Iterator[Change]:
        topic = source.topic
        for generation, blob in judge.ids.chunks():
            yield chunk_key(topic, generation, start), blob
        for generation, chunk in source.seen.expired(judge.watermark.value):
            yield chunk_key(topic, generation, chunk), None
        yield source_key(b"w", topic), _pack(judge.watermark)
        ledger = source.ledger or Ledger(start)
        yield source_key(b"l", topic), _pack(ledger.plus(judge.totals() | {"absent": absent}))

    def _of_panes(self, judge: Judge) -> Iterator[Change]:
        for key, row in self.panes.encode(judge.changed, ()):
            yield b"p" + key, row

    def _show(self, source: Source, next_offset: int | None) -> None:
        metrics, ledger = self._stage.metrics, source.ledger
        if ledger is not None and next_offset is not None:
            unexplained = ledger.unexplained(next_offset)
            metrics.show_ledger(source.topic, self.number, ledger.outcomes(), unexplained)
            metrics.show_watermark(source.topic, self.number, source.watermark.value)


class IngestStage:
    """Decode, dedupe, enrich, fold into panes."""

    name = "ingest"
    sources = tuple(INPUTS)
    state_topic = "state.ingest"

    def __init__(
        self,
        settings: Settings,
        *,
        metrics: Metrics,
        reference: Reference,
        partition_of: Callable[[bytes], int],
    ) -> None:
        """Take what all partitions share; ``partition_of`` is the producers' partitioner."""
        self.settings = settings
        self.metrics = metrics
        self.partition_of = partition_of
        self._reference = reference
        self._hasher = Hasher(settings.hash_key)
        self._decoders = {
            topic: Decoder(
                topic,
                floor_ms=settings.event_time_floor_ms,
                skew_ms=settings.event_time_skew_ms,
                max_bytes=settings.max_record_bytes,
            )
            for topic in self.sources
        }

    def judge(self, source: Source, panes: PaneTable, number: int) -> Judge:
        """Return the judge of the next slice of ``source``."""
        return Judge(
            source,
            panes,
            decoder=self._decoders[source.topic],
            enricher=Enricher(
                source.topic, self.settings.topic(source.topic), number, self._hasher, self._reference
            ),
            lateness_ms=self.settings.allowed_lateness_ms,
            horizon_ms=self.settings.revision_horizon_ms,
        )

    def open(self, number: int) -> Partition:
        """Return the empty state of partition ``number``."""
        return IngestPartition(self, number)
