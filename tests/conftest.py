"""What tests of several rooms share: one embedded broker for all of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streaming.transport.broker import EmbeddedBroker

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def broker() -> Iterator[str]:
    """Bootstrap servers of a broker that lives as long as the run; take a topic prefix each."""
    with EmbeddedBroker() as running:
        yield running.bootstrap_servers
