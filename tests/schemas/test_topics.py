"""The topic table: what Kafka is told to keep, and for how long."""

import re

import pytest

from schemas.events import INPUTS
from schemas.topics import DAY_MS, FOREVER, TOPICS


def test_every_topic_of_the_contract_is_there() -> None:
    """By its own name, which Kafka accepts under any prefix."""
    assert set(TOPICS) == {
        *INPUTS, *(f"{topic}.enriched" for topic in INPUTS), "campaigns", "campaign.windows", "anomalies", "churn.risk",
        "alerts", "ledger", "dead-letters", "panes", "state.ingest", "state.merge",
    }  # fmt: skip
    assert all(name == contract.name and re.fullmatch("[a-z.-]+", name) for name, contract in TOPICS.items())


@pytest.mark.parametrize("name", [*INPUTS, *(f"{topic}.enriched" for topic in INPUTS), "panes", "state.ingest"])
def test_joined_topics_share_their_number_of_partitions(name: str) -> None:
    """What is joined by partition number follows the inputs."""
    assert TOPICS[name].partitions is None


@pytest.mark.parametrize("name", ["state.ingest", "state.merge"])
def test_kafka_never_cuts_a_state_log(name: str) -> None:
    """Only the workers do, behind a snapshot; a hole would be a loss."""
    contract = TOPICS[name]
    assert (contract.cleanup, contract.retention_ms, contract.internal) == ("delete", FOREVER, True)


def test_panes_are_kept_as_long_as_the_inputs() -> None:
    """Else merging could lose what reading has already counted."""
    inputs = [TOPICS[topic].retention_ms for topic in INPUTS]
    assert [TOPICS["panes"].retention_ms] * 3 == inputs


def test_personal_data_is_kept_shortest() -> None:
    """Dead letters hold raw bytes."""
    others = [c.retention_ms for c in TOPICS.values() if c.name != "dead-letters" and c.retention_ms not in (None, -1)]
    assert TOPICS["dead-letters"].retention_ms == 3 * DAY_MS < min(filter(None, others))


@pytest.mark.parametrize("name", ["campaigns", "campaign.windows", "alerts", "churn.risk", "ledger"])
def test_the_newest_of_each_key_survives(name: str) -> None:
    """Readers of these keep one record per key, and so does Kafka."""
    assert "compact" in TOPICS[name].cleanup.split(",")


def test_reference_data_is_kept_for_ever() -> None:
    """A campaign that nobody touches must not vanish."""
    assert (TOPICS["campaigns"].cleanup, TOPICS["campaigns"].retention_ms) == ("compact", None)
