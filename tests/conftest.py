"""Fixtures every test may use: one broker for the whole run, and a topic prefix of its own for each test."""

import os
import shutil
from collections.abc import Iterator

import hypothesis
import pytest

from tests.brokers import ApacheBroker, EmbeddedBroker, chosen_kind, fresh_prefix, new_broker

hypothesis.settings.register_profile("ci", derandomize=True)
"""The same examples each time: what lets changes in must not depend on luck. `make test` looks for new ones."""
hypothesis.settings.load_profile(os.environ.get("CAMPAIGNWATCH_TEST_HYPOTHESIS", "default"))


@pytest.fixture(scope="session")
def broker() -> Iterator[EmbeddedBroker | ApacheBroker]:
    """The shared broker of this run; a test that stops a broker makes its own with ``new_broker()``."""
    with new_broker() as shared:
        yield shared


@pytest.fixture(scope="session")
def bootstrap(broker: EmbeddedBroker | ApacheBroker) -> str:
    """``host:port`` of the shared broker."""
    return broker.bootstrap


@pytest.fixture
def prefix() -> str:
    """A fresh topic prefix."""
    return fresh_prefix()


def pytest_report_header() -> str:
    """Say in the first lines which broker the run uses."""
    return f"broker: {chosen_kind()}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses the shared broker as ``integration``; skip what this machine or this broker cannot show."""
    kind = chosen_kind()
    for item in items:
        if "broker" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.integration)
        wanted = item.get_closest_marker("broker_kind")
        if wanted is not None and kind not in wanted.args:
            item.add_marker(pytest.mark.skip(reason=f"needs the broker {wanted.args[0]}"))
        if item.get_closest_marker("prometheus") is not None and shutil.which("prometheus") is None:
            item.add_marker(pytest.mark.skip(reason="needs the program prometheus"))
