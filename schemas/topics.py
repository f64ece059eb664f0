"""Every topic: its key, contract, partitions and how long it is kept.

Names are without the configurable prefix. Easy to get wrong: topics that are joined by partition number (``partitions``
is None) all need the same number of partitions; that number is the setting ``partitions``.
"""

from dataclasses import dataclass
from typing import Any

from schemas.alerts import Alert
from schemas.campaigns import Campaign
from schemas.dead_letters import DeadLetter
from schemas.enriched import ENRICHED
from schemas.events import INPUTS
from schemas.ledger import LedgerMinute
from schemas.signals import Anomaly, ChurnRisk
from schemas.windows import CampaignWindow

__all__ = ["DAY_MS", "FOREVER", "TOPICS", "TopicContract"]

DAY_MS = 86_400_000
FOREVER = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicContract:
    """What a topic is."""

    name: str
    key: str
    """What the record's key is, in words."""
    schema: type[Any] | None
    """The value's contract; ``None`` for the internal ones, whose format is nobody else's business."""
    partitions: int | None
    """Number of partitions; ``None`` stands for that of the input topics."""
    cleanup: str
    """Kafka's ``cleanup.policy``."""
    retention_ms: int | None
    """Kafka's ``retention.ms``; ``None`` leaves it alone: compaction keeps the newest of each key."""
    description: str
    internal: bool = False
    """Nobody but the workers reads it, and its format may change with any version."""


def _topic(name: str, key: str, schema: type[Any] | None, description: str, **rest: Any) -> TopicContract:
    kept = {"partitions": None, "cleanup": "delete", "retention_ms": 7 * DAY_MS}
    return TopicContract(name=name, key=key, schema=schema, description=description, **{**kept, **rest})


_COMPACTED = {"cleanup": "compact", "retention_ms": None}

_ALL = (
    _topic("clicks", "user_id, UTF-8", INPUTS["clicks"], "Impressions, clicks, page views, as producers write them."),
    _topic("orders", "user_id, UTF-8", INPUTS["orders"], "Orders and refunds, as producers write them."),
    _topic("social", "user_id, UTF-8", INPUTS["social"], "Social interactions, as producers write them."),
    _topic("campaigns", "campaign_id, UTF-8", Campaign, "Reference data, read to its end before the first event.",
           partitions=1, **_COMPACTED),
    _topic("clicks.enriched", "hashed user", ENRICHED["clicks"], "Every click that counts, with its campaign."),
    _topic("orders.enriched", "hashed user", ENRICHED["orders"], "Every order that counts, with its campaign."),
    _topic("social.enriched", "hashed user", ENRICHED["social"], "Every interaction that counts, with its campaign."),
    # Minutes would pile up for ever under compaction alone; 400 days still allow a comparison with last year.
    _topic("campaign.windows", "scope/channel/campaign/level/start", CampaignWindow,
           "Counts per channel and campaign; the highest revision of a key is the truth.",
           cleanup="compact,delete", retention_ms=400 * DAY_MS),
    _topic("anomalies", "series", Anomaly, "What the models find unusual.", retention_ms=30 * DAY_MS),
    _topic("churn.risk", "hashed user", ChurnRisk, "How likely each person is not to come back.", **_COMPACTED),
    # One partition: people read them in one order.
    _topic("alerts", "episode", Alert, "What people are told; the newest state of each episode.",
           partitions=1, **_COMPACTED),
    _topic("ledger", "topic/minute", LedgerMinute, "What came in and what became of it.",
           cleanup="compact,delete", retention_ms=90 * DAY_MS),
    _topic("dead-letters", "topic/partition/offset of the source", DeadLetter,
           "Records that cannot be counted, raw. Holds personal data: restrict access.", retention_ms=3 * DAY_MS),
    # As long as the inputs: so merging may be away as long as reading, and nothing is lost.
    _topic("panes", "none", None, "Ten-second sums of each partition, on their way to the windows.", internal=True),
    # The workers cut them behind each snapshot. Kafka must never do so: the cut would be a hole in the state.
    _topic("state.ingest", "none", None, "State log of the first step.", retention_ms=FOREVER, internal=True),
    _topic("state.merge", "none", None, "State log of the second step.", retention_ms=FOREVER, internal=True),
)

TOPICS: dict[str, TopicContract] = {contract.name: contract for contract in _ALL}
"""Every topic by name."""
