"""Kinds of fields that several contracts share: identifiers, money, times, with their limits.

Limits are part of the contract: identifiers become keys and metric labels, so they are bounded and hold no control
characters; money is bounded so that sums stay exact in 64 bits for long.

Easy to get wrong: a check by regular expression costs as much as decoding three fields. The rule against control
characters is therefore written in the JSON Schema only (``extra_json_schema``); :mod:`streams.decode` enforces it, and
needs to look only at the rare records that contain an escape sequence.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

__all__ = [
    "LAST_EVENT_MS",
    "MOST_MICROS",
    "NO_CONTROL_CHARACTERS",
    "SCHEMA_VERSION",
    "AdId",
    "Address",
    "CampaignId",
    "Channel",
    "Count",
    "Currency",
    "EpochMs",
    "EventTime",
    "Identifier",
    "Micros",
    "MoneyByCurrency",
    "Page",
    "Platform",
    "Quantity",
    "Sentiment",
    "Share",
    "Stars",
    "Text",
    "UserAgent",
    "UserHash",
    "Variant",
    "doc",
]

SCHEMA_VERSION = 1
"""Version of the output contracts; it changes only when a reader would have to change."""

NO_CONTROL_CHARACTERS = r"^[^\u0000-\u001f\u007f]*$"

MOST_MICROS = 10**15
"""A billion units of a currency: above any order, below 2**53, and 9,000 of them fit into 64 bits."""

FIRST_EVENT_MS = -62_135_596_800_000
LAST_EVENT_MS = 253_402_300_799_999
"""First millisecond of the year 1 and last of the year 9999: no date library agrees on anything beyond."""


def doc(text: str, **limits: Any) -> Meta:
    """Return a field's description, with limits if it has some of its own."""
    return Meta(description=text, **limits)


def _label(most: int) -> Meta:
    return Meta(min_length=1, max_length=most, extra_json_schema={"pattern": NO_CONTROL_CHARACTERS})


Identifier = Annotated[str, _label(256)]
CampaignId = Annotated[str, _label(128)]
AdId = Annotated[str, _label(128)]
Channel = Annotated[str, _label(64)]
Platform = Annotated[str, _label(64)]
Variant = Annotated[str, _label(64)]
Page = Annotated[str, _label(2_048)]
Address = Annotated[str, _label(64)]
UserAgent = Annotated[str, _label(1_024)]
Text = Annotated[str, Meta(max_length=10_000)]
UserHash = Annotated[str, Meta(pattern="^[0-9a-f]{32}$", min_length=32, max_length=32)]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$", min_length=3, max_length=3)]
Micros = Annotated[int, Meta(ge=0, le=MOST_MICROS)]
Quantity = Annotated[int, Meta(ge=1, le=1_000_000)]
Count = Annotated[int, Meta(ge=0)]
Sentiment = Annotated[float, Meta(ge=-1, le=1)]
Stars = Annotated[int, Meta(ge=1, le=5)]
Share = Annotated[float, Meta(ge=0, le=1)]
EpochMs = Annotated[int, Meta(ge=FIRST_EVENT_MS, le=LAST_EVENT_MS)]
MoneyByCurrency = dict[Currency, Count]

if TYPE_CHECKING:
    EventTime = int
else:
    # What may arrive. The decoder leaves epoch milliseconds behind, so code that reads an event sees an int.
    EventTime = EpochMs | Annotated[datetime, Meta(tz=True)]
