"""Reference data: what is known of each campaign besides its events.

Loaded to the end before the first event, then kept fresh. An enriched record
depends on its own topic's prefix and on this data only.
"""

import msgspec

from schemas.campaigns import Campaign

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
        self._campaigns: dict[str, Campaign] = {}
        self._decode = msgspec.json.Decoder(Campaign).decode

    def __len__(self) -> int:
        return len(self._campaigns)

    def get(self, campaign_id: str | None) -> Campaign | None:
        """Return a campaign, if it is known."""
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
        self._campaigns[campaign.campaign_id] = campaign
        return True
