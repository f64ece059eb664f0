"""The way of an event, stage by stage.

    clicks ─┐
    orders ─┼─► ingest ─┬─► clicks.enriched, orders.enriched, social.enriched, dead-letters
    social ─┘           └─► panes ─► merge ─► campaign.windows, metrics

1. ``ingest`` owns partition p of the three inputs (``streams/ingest.py``).
   A slice of records is judged in offset order (``streams/judge.py``):
   decode (``decode.py``), seen before? (``dedupe.py``), late? (``watermark.py``),
   enrich (``enrich.py``), add to a pane (``panes.py``). Changed panes leave
   through ``pane_feed.py``.
2. ``merge`` owns the channels that hash to it (``streams/merge.py``). Rows of
   all partitions are added up (``combine.py``); the merged watermark
   (``merged.py``) makes windows final (``windows.py``); the gauges end at the
   newest closed pane (``rolling.py``).

Each stage only says what a slice changes. Making it durable, once, whatever
crashes, is the work of ``streams/kafka/`` (``lane.py``, ``owner.py``).
"""

from collections.abc import Callable

from streams.ingest import IngestStage
from streams.merge import MergeStage
from streams.metrics import Metrics
from streams.reference import Reference
from streams.settings import Settings
from streams.stage import Stage

__all__ = ["stages"]


def stages(
    settings: Settings, *, metrics: Metrics, reference: Reference, partition_of: Callable[[bytes], int]
) -> list[Stage]:
    """Return the stages in flow order.

    Args:
        settings: with ``partitions`` as the input topics have them.
        metrics: where numbers go.
        reference: the campaigns.
        partition_of: the producers' partitioner, key to partition number.
    """
    return [
        IngestStage(settings, metrics=metrics, reference=reference, partition_of=partition_of),
        MergeStage(settings, metrics=metrics),
    ]
