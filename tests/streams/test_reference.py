"""Reference data: the newest record of each campaign, and what is no campaign."""

import msgspec
import pytest

from schemas.campaigns import Campaign
from schemas.enriched import CampaignInfo
from streams.reference import Reference


def put(reference: Reference, campaign: Campaign) -> bool:
    return reference.put(campaign.campaign_id.encode(), msgspec.json.encode(campaign))


def test_unknown_and_missing_campaigns() -> None:
    """Nothing is known of a campaign that was not told, and of none."""
    reference = Reference()
    assert (reference.get("c1"), reference.get(None), reference.get(""), len(reference)) == (None, None, None, 0)


def test_all_fields_are_kept() -> None:
    """What enriched records say of a campaign is what its record says."""
    reference = Reference()
    assert put(reference, Campaign("c1", "Spring", "search", 5_000_000, "EUR", 1_000, 2_000, "team"))
    assert reference.get("c1") == CampaignInfo("Spring", "search", 5_000_000, "EUR", 1_000, 2_000, "team")


def test_the_newest_record_wins() -> None:
    """A campaign is replaced whole, not field by field."""
    reference = Reference()
    put(reference, Campaign("c1", "Spring", "search"))
    put(reference, Campaign("c1", channel="email"))
    assert reference.get("c1") == CampaignInfo(channel="email")
    assert len(reference) == 1


@pytest.mark.parametrize("empty", [None, b""])
def test_an_empty_record_removes(empty: bytes | None) -> None:
    """A tombstone takes a campaign away; one for an unknown campaign does nothing."""
    reference = Reference()
    put(reference, Campaign("c1"))
    assert reference.put(b"c1", empty)
    assert reference.put(b"c2", empty)
    assert len(reference) == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [(b"c1", b"{"), (b"c1", b"[]"), (b"c1", b'{"campaign_id":7}'), (b"c1", b"\xff"), (b"\xff", None), (b"c1", b"{}")],
)
def test_what_is_no_campaign_changes_nothing(key: bytes, value: bytes | None) -> None:
    """A broken record is refused; what was known before stays."""
    reference = Reference()
    put(reference, Campaign("c1", "Spring"))
    assert not reference.put(key, value)
    assert reference.get("c1") == CampaignInfo("Spring")


def test_unknown_fields_do_not_matter() -> None:
    """Whoever keeps the campaigns may add to them."""
    reference = Reference()
    assert reference.put(None, b'{"campaign_id":"c1","name":"Spring","colour":"green"}')
    assert reference.get("c1") == CampaignInfo("Spring")
