"""`SlateQ`: reinforcement learning whose action is a slate, as a Stable-Baselines3 algorithm.

Ie et al. 2019, "Reinforcement learning for slate-based recommender systems" (arXiv 1905.12767): a
user takes at most one item of a slate, and what follows hangs on what was taken alone. Then the
value of a slate is that of its items, weighed by how likely each is taken,

    Q(s, A) = sum_{i in A} P(i | s, A) Q(s, i) + P(nothing | s, A) Q(s, nothing),

and it is enough to learn Q(s, i), from transitions in which i was taken, and the choice. As
published Q(s, nothing) is 0 (`null="zero"`). But where nothing is taken the session goes on, and
what it is then worth can be learned like any item's (`null="learned"`): only then is a slate that
leaves the user with a good future, rather than with a bad item, known to be good.

The choice model is a conditional logit, learned from what users take. Where users may take several
items of a slate, each by itself (`choice="independent"`), what each adds to the value of nothing
adds up.

Returns run over `n_steps` steps before the value of the next slate stands in for the rest. With
few, values creep from the end of a session to its start, over hundreds of steps; with many they are
noisy.

What decides a slate is what an item adds to the value of nothing, and that is small next to what a
session is worth. With `target="ADV"` the two are learned apart (after Baird 1993, "Advantage
updating"): V(s), what a state is worth before its offer is known, from returns over `n_steps` steps
of what was played; and A(s, i) = Q(s, i) - V(s) from the error of one step,

    r + gamma V(s') - V(s),

which has the noise of one step alone, and V's own error. V is that of the mix of policies that the
buffer holds. No best slate is looked for when learning: slates get better as what is played does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch as th
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.utils import LinearSchedule
from torch.nn import functional

from agents.deep.slate_learner import RETURN_IN_REWARDS, SlateLearner, descend
from agents.deep.slate_nets import SlateQNets
from agents.deep.slate_policy import SlateQPolicy
from agents.deep.slates import OPTIMISERS, SERVINGS
from agents.options import OptionError

if TYPE_CHECKING:
    from stable_baselines3.common.type_aliases import GymEnv, Schedule

    from agents.deep.slate_buffer import SlateBatch


ADVANTAGES = "ADV"
TARGETS = {
    "TT": "top-k",
    "GT": "greedy",
    "OT": "exact",
    "SARSA": None,
    "MYOP": None,
    ADVANTAGES: None,
}
"""What is learned from, the first five by the paper's names, and the optimiser that finds the next
slate for it."""
STEPS, STEPS_OF_Q = 20, 10
"""Over how many steps rewards are summed by default: by advantages, and by Q-learning."""
RATE = LinearSchedule(2e-3, 3e-5, 1.0)
"""The default learning rate, over the progress of training."""
NULLS = ("zero", "learned")
CHOICES = ("logit", "independent")


class SlateQ(SlateLearner):
    """SlateQ, as above.

    Parameters
    ----------
    policy : str or class
        "MultiInputPolicy".
    env : VecEnv, Env or str
        Of recloop, best by `envs.sb3.make_sb3` with many users at a time.
    learning_rate : float or Schedule
        Of values and choice model.
    buffer_size : int
        How many visits are kept.
    learning_starts : int
        How many visits are shown random slates first.
    batch_size, gradient_steps, train_freq, tau, gamma
        As in Stable-Baselines3: after every `train_freq` steps of all users, `gradient_steps` steps
        on `batch_size` transitions each, after each of which the target network moves by tau. With
        gamma 1, sessions must end.
    target : {"ADV", "OT", "GT", "TT", "SARSA", "MYOP"}, optional
        What is learned from: advantages, as above; or Q-learning, its next slate found exactly,
        greedily, by the top K, or the one that was shown; MYOP looks no further than the reward.
        If not given, ADV where the value of nothing is learned and OT where it is zero.
    serving : {"OS", "GS", "TS"}
        How slates are found when deciding.
    choice : {"logit", "independent"}
        Whether a user takes one item of a slate at most, or each by itself.
    null : {"learned", "zero"}
        What no choice is worth.
    double : bool
        In Q-learning, whether the next slate is found by the present network and valued by the
        target network (van Hasselt et al. 2016), or both by the target network.
    n_steps : float or Schedule, optional
        Over how many steps rewards are summed; if not given, 20 for ADV and 10 in Q-learning.
    exploration : float
        The share of slates that are drawn at random.
    reward_scale : float, optional
        The unit of values; found from the first rewards when not given.
    catalogue : float32 [M, F], optional
        The features of the candidates, where the environment does not show them; taken from
        `env.world.catalogue` when not given.
    policy_kwargs : dict, optional
        Of `SlateQNets`: the networks' widths, and `dueling`.
    seed : int, optional
        Of first weights, exploration, replay and environment. No global generator is used.
    stats_window_size, tensorboard_log, verbose, device
        As in Stable-Baselines3.

    Raises
    ------
    OptionError
        If an option cannot be, or the environment does not tell what SlateQ learns from.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"MultiInputPolicy": SlateQNets}
    policy: SlateQNets
    optimizers = ("optimizer", "choice_optimizer")

    def __init__(
        self,
        policy: str | type[BasePolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = RATE,
        buffer_size: int = 300_000,
        learning_starts: int = 20_000,
        batch_size: int = 2048,
        tau: float = 0.01,
        gamma: float = 1.0,
        train_freq: int = 1,
        gradient_steps: int = 2,
        *,
        target: str | None = None,
        serving: str = "OS",
        choice: str = "logit",
        null: str = "learned",
        double: bool = True,
        n_steps: float | Schedule | None = None,
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
        if target is None:
            target = ADVANTAGES if null == "learned" else "OT"
        for option, given, known in (
            ("target", target, TARGETS),
            ("serving", serving, SERVINGS),
            ("choice", choice, CHOICES),
            ("null", null, NULLS),
        ):
            if given not in known:
                raise OptionError(f"{option} is {' or '.join(known)}, not {given!r}")
        if target == ADVANTAGES and null == "zero":
            raise OptionError(
                f"target {ADVANTAGES} learns what nothing adds as well: it needs null='learned'"
            )
        if n_steps is None:
            n_steps = STEPS if target == ADVANTAGES else STEPS_OF_Q
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
        self.target, self.serving, self.double = target, serving, double
        self.choice, self.null = choice, null
        if _init_setup_model:
            self._setup_model()

    def of_nets(self) -> dict[str, Any]:
        """Return how slates are valued and found."""
        return {
            "serving": self.serving,
            "null": self.null,
            "choice_model": self.choice,
            "advantages": self.target == ADVANTAGES,
        }

    # --- learning

    def gradient_step(self, batch: SlateBatch) -> dict[str, float]:
        """Move values and choice model."""
        moved = self._advantage_step if self.target == ADVANTAGES else self._value_step
        return {"value_loss": moved(batch), "choice_loss": self._choice_step(batch)}

    def _value_step(self, batch: SlateBatch) -> float:
        """Move the value of what was taken towards its target; return the loss."""
        error = (self._of_taken(batch) - self.wanted(batch)) ** 2
        if self.null == "zero":
            error = error[batch.clicks.any(dim=1)]
        return descend(self.policy.optimizer, error.mean())

    def _advantage_step(self, batch: SlateBatch) -> float:
        """Move V, and what was taken adds to it, towards their targets; return the loss."""
        worth, errors = self.wanted_apart(batch)
        off = self.policy.worth_of_states(self.policy.state, batch.context) - worth
        # In rewards, of which an item adds about one: V's loss would drown it else.
        adds = self._of_taken(batch) - RETURN_IN_REWARDS * errors
        loss = (off**2).mean() + (adds**2).mean()
        return descend(self.policy.optimizer, loss)

    def _of_taken(self, batch: SlateBatch) -> th.Tensor:
        """Return the value of what was taken, or of nothing: float32 [B]."""
        shown = self.policy.shown(batch.documents, batch.slates)
        nothing, values = self.policy.judge(self.policy.values, batch.context, shown)
        return nothing + ((values - nothing[:, None]) * batch.clicks).sum(dim=1)

    def _choice_step(self, batch: SlateBatch) -> float:
        """Make what was taken likelier; return the loss."""
        logits = self.policy.logits(batch.context, self.policy.shown(batch.documents, batch.slates))
        if self.choice == "independent":
            loss = functional.binary_cross_entropy_with_logits(logits, batch.clicks.float())
        else:
            logits = th.cat([logits, th.zeros_like(logits[:, :1])], dim=1)
            taken, slot = batch.clicks.any(dim=1), batch.clicks.float().argmax(dim=1)
            chosen = th.where(taken, slot, logits.shape[1] - 1)
            loss = functional.cross_entropy(logits, chosen)
        return descend(self.policy.choice_optimizer, loss)

    @th.no_grad()
    def wanted(self, batch: SlateBatch) -> th.Tensor:
        """Return the learning targets of a batch, in units of `reward_scale`: float32 [B]."""
        if self.target == "MYOP":
            return batch.first / self.unit
        rewards = batch.rewards / self.unit
        items = self.policy.on_offer(batch.next_documents)
        weights = self.policy.weights(batch.next_context, items)
        nothing, values = self.policy.judge(self.policy.target, batch.next_context, items)
        slates = batch.next_slates
        optimiser = TARGETS[self.target]
        if optimiser is not None:
            chooser = self.policy.values if self.double else self.policy.target
            judged = self.policy.judge(chooser, batch.next_context, items)
            slates = self.policy.best(weights, *judged, OPTIMISERS[optimiser])
        return rewards + batch.discounts * self.policy.worth(weights, nothing, values, slates)

    @th.no_grad()
    def wanted_apart(self, batch: SlateBatch) -> tuple[th.Tensor, th.Tensor]:
        """Return the targets of V and the errors of one step, in units of `reward_scale`: [B]."""
        nets = self.policy
        now, after, last = (
            nets.worth_of_states(nets.state_target, context)
            for context in (batch.context, batch.after, batch.next_context)
        )
        errors = batch.first / self.unit + self.gamma * batch.going * after - now
        return batch.rewards / self.unit + batch.discounts * last, errors

    # --- leaving

    def to_policy(self, *, seed: int = 0) -> SlateQPolicy:
        """Return what was learned as a policy that needs no torch; see `SlateQPolicy`."""
        return SlateQPolicy.of(self.policy, seed=seed, version=self.num_timesteps)
