"""Accepted events become enriched records; refused ones become dead letters.

An enriched record is a function of the raw record, its outcome and the
reference data: written again after a crash, it is the same. User ids and
addresses leave as keyed hashes only.

The rule easy to get wrong: the event's own channel wins over the campaign's; a
difference is counted, not corrected.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import msgspec

from schemas.dead_letters import MOST_RAW_BYTES, DeadLetter
from schemas.enriched import EnrichedAd, EnrichedOrder, EnrichedSocial, Source
from schemas.events import AdEvent, Order, SocialInteraction
from schemas.reasons import Outcome, RejectReason
from streams.decode import Reject
from streams.privacy import Hasher
from streams.reference import Reference
from streams.stage import Record, Row

__all__ = ["UNKNOWN", "Enriched", "Enricher"]

UNKNOWN = "unknown"
"""Channel of what names none."""

_encode = msgspec.json.Encoder().encode


class Enriched(msgspec.Struct, gc=False):
    """One event enriched: hashed user, where it counts, and its record."""

    user: str
    channel: str
    campaign: str
    row: Row


class Enricher:
    """Writes the records that leave the first stage, for one source.

    Args:
        topic: contract name of the source.
        source_topic: its name on the broker.
        number: its partition.
        hasher: of user ids and addresses.
        reference: the campaigns.
    """

    def __init__(self, topic: str, source_topic: str, number: int, hasher: Hasher, reference: Reference) -> None:
        self._source_topic = source_topic
        self._number = number
        self._hasher = hasher
        self._reference = reference
        self._build = _BUILD[topic]
        self.mismatches = 0
        """Events whose channel is not their campaign's."""

    def enrich(self, event: Any, extra: dict[str, Any], outcome: Outcome, offset: int) -> Enriched:
        """Return an accepted or late event with what is known around it."""
        campaign_id = event.campaign_id
        info = self._reference.get(campaign_id)
        channel = event.channel
        if info is not None:
            if channel is None:
                channel = info.channel
            elif info.channel is not None and channel != info.channel:
                self.mismatches += 1
        if channel is None:
            channel = UNKNOWN
        user = self._hasher.user(event.user_id)
        source = Source(self._source_topic, self._number, offset)
        record = self._build(event, user, channel, self._hasher, outcome, info, extra, source)
        return Enriched(user, channel, campaign_id or "", (user.encode(), _encode(record)))

    def dead_letter(self, record: Record, reject: Reject) -> Row:
        """Return the dead letter of a refused record, keyed by its position."""
        raw = record.value
        whole = raw or b""
        letter = DeadLetter(
            reason=RejectReason(reject.reason),
            errors=reject.errors,
            raw_b64=None if raw is None else whole[:MOST_RAW_BYTES],
            raw_bytes=len(whole),
            raw_sha256=sha256(whole).hexdigest(),
            source=Source(self._source_topic, self._number, record.offset),
        )
        return f"{self._source_topic}/{self._number}/{record.offset}".encode(), _encode(letter)


def _ad(e: AdEvent, user: str, channel: str, hasher: Hasher, *rest: Any) -> EnrichedAd:
    return EnrichedAd(
        e.event_id, e.type, e.event_time, user, e.campaign_id, channel, e.ad_id, e.cost_micros, e.currency,
        e.session_id, e.page, hasher.ip(e.ip) if e.ip else None, e.user_agent, e.variant, *rest,
    )  # fmt: skip


def _order(e: Order, user: str, channel: str, hasher: Hasher, *rest: Any) -> EnrichedOrder:
    return EnrichedOrder(
        e.event_id, e.type, e.event_time, user, e.order_id, e.revenue_micros, e.currency, e.quantity,
        e.campaign_id, channel, e.new_customer, *rest,
    )  # fmt: skip


def _social(e: SocialInteraction, user: str, channel: str, hasher: Hasher, *rest: Any) -> EnrichedSocial:
    return EnrichedSocial(
        e.event_id, e.type, e.event_time, user, e.platform, e.campaign_id, channel, e.text, e.sentiment,
        e.rating, *rest,
    )  # fmt: skip


_BUILD: dict[str, Callable[..., Any]] = {"clicks": _ad, "orders": _order, "social": _social}
