"""Channel: how feedback gets from a world's users to the policy that learns from it.

What users did is the world's response, and it is the truth. What a policy learns from is what comes
through the channel: outcomes that are on their way for a while, that arrive twice, in another
order, or without a reward that was lost. Time is counted in steps of a rollout, of which every lane
makes one at a time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from agents.streams import uniforms
from simulators.records import WorldError, near

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from agents import Outcomes
    from agents.api import Floats, Keys, Rows
    from simulators.records import Response

WAIT, AGAIN, TWICE, LOST = range(4)
_DRAWS, _ORDER = 11, 12
"""Stream purposes; the streams are the requests'."""


class Channel:
    """A way for outcomes from a rollout to a policy: `rollout(world, policy, steps, channel=...)`.

    Every draw is a function of (seed, request key), so that it does not matter who else is in the
    batch. What is still under way when a rollout ends comes out of `rest`, or of the next rollout
    that is given the same channel.

    Parameters
    ----------
    delay : float
        The mean number of steps that an outcome is under way, geometric from 0.
    slow : mapping of str to float, optional
        By how many steps the mean is longer where a slot has a signal (above 0): the world's
        "bought", for example, since orders are confirmed late. The slowest signal counts.
    window : int, optional
        So many steps after a request its outcome is closed, as in the live loop: it arrives then,
        and rewards that are under way for longer are taken for none. Without it an outcome arrives
        when it is complete.
    lost : float
        How likely a slot's reward is lost. The policy learns that it was seen and not rewarded.
    duplicate : float
        How likely an outcome arrives a second time, as long after the first time as a delay.
    shuffle : bool
        Whether what arrives at the same step comes in any order, not oldest first.
    seed : int

    Raises
    ------
    WorldError
        If a number is none of that.
    """

    def __init__(
        self,
        *,
        delay: float = 0.0,
        slow: Mapping[str, float] | None = None,
        window: int | None = None,
        lost: float = 0.0,
        duplicate: float = 0.0,
        shuffle: bool = False,
        seed: int = 0,
    ) -> None:
        delays = {"delay": delay} | {
            f"slow[{name!r}]": value for name, value in (slow or {}).items()
        }
        for name, value in delays.items():
            if not 0.0 <= value < np.inf:
                raise WorldError(f"{name} is a number of steps, not {value}")
        for name, value in (("lost", lost), ("duplicate", duplicate)):
            if not 0.0 <= value <= 1.0:
                raise WorldError(f"{name} is a probability, not {value}")
        if window is not None and window < 0:
            raise WorldError(f"a window is of 0 steps or more, not {window}")
        self.delay, self.slow, self.window = delay, dict(slow or {}), window
        self.lost, self.duplicate, self.shuffle, self.seed = lost, duplicate, shuffle, seed
        self.counts: Counter[str] = Counter()
        """Rows "sent", "delivered", "duplicated" and "overtaken" (by one that was sent later), and
        rewards "lost" and "late"."""
        self._step = 0
        self._newest = 0
        self._due: dict[int, list[tuple[int, Outcomes]]] = {}

    @property
    def under_way(self) -> int:
        """How many rows have not arrived yet."""
        return sum(len(outcomes) for mail in self._due.values() for _, outcomes in mail)

    def through(self, response: Response) -> list[Outcomes]:
        """Send a step's outcomes, and return what arrives at that step, in its order.

        Raises
        ------
        WorldError
            If `slow` names a signal that the world does not have.
        """
        facts, asked = response.facts, response.feedback.asked
        draws = uniforms(
            self.seed, facts.requests.keys, LOST + facts.rewards.shape[1], purpose=_DRAWS
        )
        mean = self.delay + self._slowest(response)[asked]
        wait = _geometric(draws[:, WAIT], mean)
        rewards = facts.rewards.copy()
        gone = (draws[:, LOST:] < self.lost) & (rewards != 0)
        rewards[gone] = 0.0
        self.counts["lost"] += int(gone.sum())
        if self.window is not None:
            late = (wait > self.window)[:, None] & (rewards != 0)
            rewards[late] = 0.0
            self.counts["late"] += int(late.sum())
            wait[:] = self.window
        self.counts["sent"] += len(facts)
        self._post(replace(facts, rewards=rewards), wait)
        twice = draws[:, TWICE] < self.duplicate
        self.counts["duplicated"] += int(twice.sum())
        copy = replace(facts, rewards=rewards).take(twice)
        self._post(copy, (wait + _geometric(draws[:, AGAIN], mean))[twice])
        arrived = list(self._arrivals(self._step))
        self._step += 1
        return arrived

    def rest(self) -> list[Outcomes]:
        """Return all that is still under way, in the order in which it would have arrived."""
        return [outcomes for step in sorted(self._due) for outcomes in self._arrivals(step)]

    def _slowest(self, response: Response) -> Floats:
        slowest = np.zeros(len(response.feedback.asked))
        for name, steps in self.slow.items():
            if name not in response.signals:
                raise WorldError(
                    f"the world's responses have no signal {name!r}: {near(name, response.signals)}"
                    f"they have {', '.join(response.signals)}"
                )
            there = (response.signals[name] > 0.0).any(axis=1)
            slowest = np.maximum(slowest, np.where(there, steps, 0.0))
        return slowest

    def _post(self, outcomes: Outcomes, wait: Rows) -> None:
        for steps in np.unique(wait).tolist():
            rows = np.flatnonzero(wait == steps)
            self._due.setdefault(self._step + steps, []).append((self._step, outcomes.take(rows)))

    def _arrivals(self, step: int) -> Iterator[Outcomes]:
        mail = self._due.pop(step, [])
        if self.shuffle:
            mail = [
                (sent, outcomes.take(self._order(outcomes.requests.keys)))
                for sent, outcomes in mail
            ]
            firsts = np.array([outcomes.requests.keys[0] for _, outcomes in mail], dtype=np.uint64)
            mail = [mail[i] for i in self._order(firsts)]
        for sent, outcomes in mail:
            self.counts["delivered"] += len(outcomes)
            self.counts["overtaken"] += len(outcomes) * (sent < self._newest)
            self._newest = max(self._newest, sent)
            yield outcomes

    def _order(self, keys: Keys) -> NDArray[np.int64]:
        return np.argsort(uniforms(self.seed, keys, 1, purpose=_ORDER)[:, 0])


def _geometric(draws: Floats, mean: Floats) -> Rows:
    """Return geometric numbers from 0 with these means: P(n or more) = (mean / (1 + mean))^n."""
    out = np.zeros(len(draws), dtype=np.int64)
    some = mean > 0
    out[some] = np.floor(np.log1p(-draws[some]) / np.log(mean[some] / (1.0 + mean[some])))
    return out
