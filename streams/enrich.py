"""Accepted events become enriched records; refused ones become dead letters.

An enriched record is a function of the raw record, its outcome and the
reference data: written again after a crash, it is the same. User ids and
addresses leave as keyed hashes only.

The rule easy to get wrong: the event's own channel wins over the campaign's; a
difference is counted, not corrected.
"""

from typing import Any, NamedTuple

import msgspec

from schemas.dead_letters import dead_letter
from schemas.enriched import ENRICHED, SCHEMA_VERSION, CampaignInfo, Source
from schemas.reasons import UNKNOWN
from streams.decode import Reject
from streams.privacy import Hasher
from streams.reference import Reference
from streams.stage import Record, Row

__all__ = ["Enriched", "Enricher"]

_encode = msgspec.json.Encoder().encode


class Enriched(NamedTuple):
    """One event enriched: hashed user, where it counts, and its record."""

    user: str
    channel: str
    campaign: str
    row: Row
