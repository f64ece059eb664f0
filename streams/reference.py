"""Reference data: what is known of each campaign besides its events.

Loaded to the end before the first event, then kept fresh. An enriched record
depends on its own topic's prefix and on this data only.
"""

import msgspec

from schemas.campaigns import Campaign
from schemas.enriched import CampaignInfo

__all__ = ["Reference"]


class Reference:
    """Campaigns by id; the newest record of each wins, an empty record removes it.

    >>> reference = Reference()
    >>> reference.put(b"c1", b'{"campaign_id":"c1","name":"Spring","channel":"search"}')
    True
    >>> reference.get("c1").channel
    'search'
    """

    def __init__(self) -> None:
        self._campaigns: dict[str, CampaignInfo] = {}
        self._decode = msgspec.json.Decoder(Campaign).decode

    def __len__(self) -> int:
        return len(self._campaigns)

    def get(self, campaign_id: str | None) -> CampaignInfo | None:
        """Return what enriched records say of a campaign, if it is known."""
        return self._campaigns.get(campaign_id) if campaign_id else None

    def put(self, key: bytes | None, value: bytes | None) -> bool:
        """Take a record of the ``campaigns`` topic; False when it is not a valid one."""
        try:
            campaign_id = (key or b"").decode()
            if not value:
                self._campaigns.pop(campaign_id, None)
                return True
            campaign = self._decode(value)
        except (UnicodeDecodeError, msgspec.MsgspecError):
            return False
        self._campaigns[campaign.campaign_id] = _info_of(campaign)
        return True


def _info_of(campaign: Campaign) -> CampaignInfo:
    return CampaignInfo(
        name=campaign.name,
        channel=campaign.channel,
        budget_micros=campaign.budget_micros,
        currency=campaign.currency,
        start=campaign.start,
        end=campaign.end,
        owner=campaign.owner,
    )
