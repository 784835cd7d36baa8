"""`SlateAhead`: slates by what their clicks, taken together, make of the user.

SlateQ's decomposition needs a user who takes one item at most. Where several items of a slate are
clicked, what they do together may be another thing than the sum of what each does: five clicks on
one topic bore, one on each of five do not. Here the state that follows is learned, and its value:

    Q(s, A) = sum_k p_k r_k + gamma V(s'),      s' = s + m(s, sum_k p_k g(i_k)),      p_k = a_k c_k

where slot k is looked at with probability a_k and its item then clicked with c_k, which is rewarded
with r_k; g(i) is what moves a user who clicks i. c, r, a, m and g are learned from what is seen to
happen, m from the state that is next observed, V from returns over n steps of the policy's own
play: an after-state value (Sutton & Barto 2018, section 6.8) with the mean of the clicks put in for
the clicks.

A slate is filled slot by slot with the item that adds most, p (r + gamma dV/dx . g(i)), where the
derivative is taken at what the slots before are expected to be clicked: a thousand candidates cost
a product each, and one step back through two small networks a slot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch as th
from stable_baselines3.common.utils import LinearSchedule
from torch.nn import functional

from agents.deep.ahead_nets import SlateAheadNets
from agents.deep.ahead_policy import SlateAheadPolicy
from agents.deep.slate_learner import SlateLearner, descend

if TYPE_CHECKING:
    from stable_baselines3.common.policies import BasePolicy
    from stable_baselines3.common.type_aliases import GymEnv, Schedule

    from agents.deep.slate_buffer import SlateBatch

RATE = LinearSchedule(1e-3, 3e-5, 1.0)
"""The default learning rate, over the progress of training."""
SURE = 1e-6
"""Chances are kept so far from 0 and 1."""


class SlateAhead(SlateLearner):
    """SlateAhead, as above.

    Parameters
    ----------
    policy : str or class
        "MultiInputPolicy".
    env : VecEnv, Env or str
        Of recloop, best by `envs.sb3.make_sb3` with many users at a time, and with what their
        sessions reveal (`session=True`): the state is the context.
    learning_rate : float or Schedule
    buffer_size : int
        How many visits are kept.
    learning_starts : int
        How many visits are shown random slates first.
    batch_size, gradient_steps, train_freq, tau, gamma
        As in Stable-Baselines3: after every `train_freq` steps of all users, `gradient_steps` steps
        on `batch_size` transitions each, after each of which the target network moves by tau.
    n_steps : float or Schedule
        Over how many steps rewards are summed.
    exploration : float
        The share of slates that are drawn at random.
    reward_scale : float, optional
        The unit of values; found from the first rewards when not given.
    catalogue : float32 [M, F], optional
        The features of the candidates, where the environment does not show them; taken from
        `env.world.catalogue` when not given.
    policy_kwargs : dict, optional
        Of `SlateAheadNets`: the networks' widths.
    seed : int, optional
        Of first weights, exploration, replay and environment. No global generator is used.
    stats_window_size, tensorboard_log, verbose, device
        As in Stable-Baselines3.

    Raises
    ------
    OptionError
        If an option cannot be, or the environment does not tell what SlateAhead learns from.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"MultiInputPolicy": SlateAheadNets}
    policy: SlateAheadNets
    optimizers = ("optimizer",)

    def __init__(
        self,
        policy: str | type[BasePolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = RATE,
        buffer_size: int = 100_000,
        learning_starts: int = 10_000,
        batch_size: int = 1024,
        tau: float = 0.01,
        gamma: float = 0.8,
        train_freq: int = 1,
        gradient_steps: int = 8,
        *,
        n_steps: float | Schedule = 10,
        exploration: float = 0.05,
        reward_scale: float | None = None,
        catalogue: np.ndarray[Any, np.dtype[np.float32]] | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        stats_window_size: int = 1000,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: th.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        super().__init__(
            policy,
            env,
            learning_rate,
            buffer_size,
            learning_starts,
            batch_size,
            tau,
            gamma,
            train_freq,
            gradient_steps,
            n_steps=n_steps,
            exploration=exploration,
            reward_scale=reward_scale,
            catalogue=catalogue,
            policy_kwargs=policy_kwargs,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            device=device,
            seed=seed,
        )
        if _init_setup_model:
            self._setup_model()

    def of_nets(self) -> dict[str, Any]:
        """Return how much what follows counts."""
        return {"gamma": self.gamma}

    def gradient_step(self, batch: SlateBatch) -> dict[str, float]:
        """Move the networks towards what happened."""
        nets, context = self.policy, batch.context
        items, clicked = nets.on_offer(batch.documents), batch.clicks.float()
        states = nets.standard(context)
        taken = (nets.traits(items, batch.slates) * clicked[:, :, None]).sum(dim=1)
        errors = ((nets.moved(states, taken) - nets.standard(batch.after)) ** 2).mean(dim=1)
        paid = (nets.pay(context, items, batch.slates) * clicked).sum(dim=1)
        chances = nets.chances(context, items, batch.slates) * nets.looked_at()
        losses = {
            "value_loss": ((nets.value(states)[:, 0] - self.wanted(batch)) ** 2).mean(),
            "move_loss": (errors * batch.going).mean(),
            "reward_loss": ((paid - batch.first / self.unit) ** 2).mean(),
            "click_loss": functional.binary_cross_entropy(chances.clamp(SURE, 1 - SURE), clicked),
        }
        descend(nets.optimizer, th.stack(list(losses.values())).sum())
        return {name: float(loss.detach()) for name, loss in losses.items()}

    @th.no_grad()
    def wanted(self, batch: SlateBatch) -> th.Tensor:
        """Return the learning targets of the value, in units of `reward_scale`: float32 [B]."""
        ahead = self.policy.target(self.policy.standard(batch.next_context))[:, 0]
        targets: th.Tensor = batch.rewards / self.unit + batch.discounts * ahead
        return targets

    def to_policy(self, *, seed: int = 0) -> SlateAheadPolicy:
        """Return what was learned as a policy that needs no torch; see `SlateAheadPolicy`."""
        return SlateAheadPolicy.of(self.policy, seed=seed, version=self.num_timesteps)
