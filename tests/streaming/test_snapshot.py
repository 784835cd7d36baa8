"""A network that learns while it serves goes through a worker's snapshots unharmed."""

from __future__ import annotations

import numpy as np
import pytest

from agents import from_spec
from agents.situations import Situations
from streaming.snapshot import origin_of, read_snapshot, state_in, take


@pytest.mark.parametrize("spec", ["neural-ranker:discount=0.9", "reinforce:discount=0.9", "cql"])
def test_a_worker_that_restarts_goes_on_with_the_same_network(spec: str) -> None:
    facts = Situations(0).outcomes(90)
    whole, first, again = (from_spec(spec, seed=4) for _ in range(3))
    origin = origin_of(again)
    assert origin_of(first) == origin
    whole.update(facts)
    first.update(facts.take(slice(0, 50)))
    message = take(first.state_dict(), origin, {0: 50}, {0: 50})
    again.load_state_dict(state_in(read_snapshot(message)))
    for row in range(50, 90):
        again.update(facts.take([row]))
    wanted = whole.state_dict()
    for name, array in again.state_dict().items():
        np.testing.assert_array_equal(array, wanted[name], err_msg=name)
    asked = Situations(0).requests(20)
    np.testing.assert_array_equal(
        again.decide(asked).propensities, whole.decide(asked).propensities
    )
