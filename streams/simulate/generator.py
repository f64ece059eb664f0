"""A run: journeys at a rate, with faults mixed in, as the records a broker receives.

Each slot of event time holds one record. Mostly it is the next event of somebody's journey; by the shares asked for
it is an earlier one again, a contradiction of one, or bytes that mean nothing. The truth is counted in the same
breath, so it is the truth of the records handed out and of no other.

Easy to get wrong: the journeys and the faults draw from two generators of random numbers, and neither asks the clock.
"""

from collections.abc import Iterator, Sequence
from random import Random

import orjson

from streams.simulate.catalogue import DAY_MS, CampaignPlan, catalogue
from streams.simulate.faults import Past, Sent, contradict, hostile
from streams.simulate.journeys import HOUR_MS, Journeys, hour_weight
from streams.simulate.options import Options
from streams.simulate.truth import Truth

__all__ = ["Record", "Simulator"]

Record = tuple[str, bytes | None, bytes | None]
"""Topic, key, value."""

TOPICS = ("clicks", "orders", "social")

LATE_WITHIN_MS = 50_000
"""Half of the late events are this late at most: inside the default allowed lateness."""
LATE_BEYOND_MS = 4 * 3_600_000
"""The others at most this late: beyond it, well inside the default revision horizon."""
DAY_PEAK_HOUR = 18
KEYLESS_SHARE = 0.3
"""Hostile records without a key."""
CURVE_STEP_MS = 60_000


class Simulator:
    """Hands out the records of one run, in the order they are sent.

    >>> options = Options(seed=7, events=3)
    >>> [topic for topic, key, value in Simulator(options)]
    ['clicks', 'clicks', 'clicks']
    >>> list(Simulator(options)) == list(Simulator(options))
    True
    """

    def __init__(self, options: Options, *, truth: Truth | None = None) -> None:
        self.options = options
        self.truth = truth
        self.made = 0
        self.now_ms = options.start_ms
        """Event time of the next record."""
        self.plans: Sequence[CampaignPlan] = catalogue(
            seed=options.seed, campaigns=options.campaigns, channels=options.channels, start_ms=options.start_ms,
            currencies=options.currencies)
        prefix = f"{options.seed:x}-{options.start_ms:x}"
        self._journeys = Journeys(self.plans, seed=options.seed, users=options.users, prefix=prefix)
        self._random = Random(f"{options.seed}/faults")
        self._past = Past(self._random)
        self._newest: list[Sent | None] = [None] * len(TOPICS)
        self._repeats = options.hostile + options.duplicates
        self._contradicts = self._repeats + options.conflicts
        self._lates = self._contradicts + options.late
        self._exact_ms = float(options.start_ms)
        self._gap_ms = 0.0
        self._next_step_ms = options.start_ms if options.day_curve else None
        self._end_ms = options.start_ms + options.seconds * 1_000 if options.seconds else None

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end."""
        over = self._end_ms is not None and self._exact_ms >= self._end_ms
        return over or 0 < self.options.events <= self.made

    def references(self) -> list[tuple[bytes, bytes]]:
        """Return the records of the ``campaigns`` topic: key, value."""
        return [(plan.campaign_id.encode(), orjson.dumps(plan.reference())) for plan in self.plans]

    def batch(self, limit: int, *, until_ms: float | None = None) -> list[Record]:
        """Return the next records, at most ``limit``, of times before ``until_ms``; fewer at the end of the run."""
        records: list[Record] = []
        while len(records) < limit and not self.finished and (until_ms is None or self._exact_ms < until_ms):
            records.append(self._record())
            self._advance()
        return records

    def __iter__(self) -> Iterator[Record]:
        """Yield every record of the run."""
        while records := self.batch(1_000):
            yield from records

    def _advance(self) -> None:
        self.made += 1
        if self._next_step_ms is None:
            self._exact_ms = self.options.start_ms + self.made * 1_000 / self.options.rate
        else:
            if self.now_ms >= self._next_step_ms:
                self._next_step_ms = self.now_ms + CURVE_STEP_MS
                hour = self.now_ms % DAY_MS / HOUR_MS
                self._gap_ms = 1_000 / (self.options.rate * hour_weight(hour, DAY_PEAK_HOUR))
            self._exact_ms += self._gap_ms
        self.now_ms = int(self._exact_ms)

    def _record(self) -> Record:
        draw = self._random.random()
        if draw < self._contradicts:
            if draw < self.options.hostile:
                return self._hostile()
            sent = self._past.pick(self.now_ms)
            if sent is not None:
                return self._again(sent, conflict=draw >= self._repeats)
        return self._event(late=self._contradicts <= draw < self._lates)

    def _event(self, *, late: bool) -> Record:
        now = self.now_ms
        event_ms = now - int(self._random.random() * self.options.disorder_ms)
        if late:
            event_ms = now - self._lateness()
        event = self._journeys.next(now, event_ms)
        topic, user_id, fields, channel, campaign_id, money = event
        sent = Sent(now, topic, user_id.encode(), orjson.dumps(fields))
        self._past.keep(sent)
        self._newest[TOPICS.index(topic)] = sent
        if self.truth is not None:
            self.truth.count(topic, fields["type"], event_ms, channel, campaign_id, money, fields.get("currency"))
        return topic, sent.key, sent.value

    def _again(self, sent: Sent, *, conflict: bool) -> Record:
        if self.truth is not None:
            self.truth.repeat(sent.topic, conflict=conflict)
        return sent.topic, sent.key, contradict(sent) if conflict else sent.value

    def _hostile(self) -> Record:
        random = self._random
        sent = self._newest[int(random.random() * len(self._newest))]
        if sent is None:
            return self._event(late=False)
        value, reason = hostile(random, sent.value)
        if self.truth is not None:
            self.truth.reject(sent.topic, reason)
        return sent.topic, None if random.random() < KEYLESS_SHARE else sent.key, value

    def _lateness(self) -> int:
        random = self._random.random
        if random() < 0.5:
            return 3_000 + int(random() * (LATE_WITHIN_MS - 3_000))
        draw = random()
        return 70_000 + int(draw * draw * draw * (LATE_BEYOND_MS - 70_000))
