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
noisy. A schedule may have many at first and fewer once the values stand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.utils import FloatSchedule, LinearSchedule
from torch.nn import functional

from agents.deep.slate_buffer import SlateBatch, SlateReplayBuffer
from agents.deep.slate_nets import SlateQNets
from agents.deep.slate_policy import SlateQPolicy
from agents.deep.slates import OPTIMISERS, SERVINGS
from agents.options import OptionError, above, at_least, share

if TYPE_CHECKING:
    from stable_baselines3.common.buffers import ReplayBuffer
    from stable_baselines3.common.type_aliases import GymEnv, Schedule

    from agents.api import Rows

TARGETS = {"TT": "top-k", "GT": "greedy", "OT": "exact", "SARSA": None, "MYOP": None}
"""How the next slate is found when learning, by the paper's names: by an optimiser, or as it was
shown (SARSA), or not at all (MYOP)."""
NULLS = ("zero", "learned")
CHOICES = ("logit", "independent")
RATE = LinearSchedule(1e-3, 3e-5, 1.0)
"""The default learning rate, over the progress of training."""
STEEPEST = 10.0
"""The norm that gradients are cut to."""
RETURN_IN_REWARDS = 10.0
"""Values are learned in units of so many typical rewards."""


class SlateQ(OffPolicyAlgorithm):
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
    target : {"OT", "GT", "TT", "SARSA", "MYOP"}
        How the next slate is found when learning: exactly, greedily or by the top K; the one that
        was shown; MYOP looks no further than the reward.
    serving : {"OS", "GS", "TS"}
        How slates are found when deciding.
    choice : {"logit", "independent"}
        Whether a user takes one item of a slate at most, or each by itself.
    null : {"learned", "zero"}
        What no choice is worth.
    double : bool
        Whether the next slate is found by the present network and valued by the target network
        (van Hasselt et al. 2016), or both by the target network.
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
    replay_buffer: SlateReplayBuffer

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
        target: str = "OT",
        serving: str = "OS",
        choice: str = "logit",
        null: str = "learned",
        double: bool = True,
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
        for option, given, known in (
            ("target", target, TARGETS),
            ("serving", serving, SERVINGS),
            ("choice", choice, CHOICES),
            ("null", null, NULLS),
        ):
            if given not in known:
                raise OptionError(f"{option} is {' or '.join(known)}, not {given!r}")
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
            replay_buffer_class=SlateReplayBuffer,
            policy_kwargs=policy_kwargs,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            device=device,
            support_multi_env=True,
            seed=seed,
            sde_support=False,
            supported_action_spaces=(spaces.MultiDiscrete,),
        )
        self.target, self.serving, self.double = target, serving, double
        self.choice, self.null = choice, null
        self.steps_schedule = FloatSchedule(n_steps)
        at_least("n_steps", self.steps_schedule(1.0), 1.0)
        self.exploration = share("exploration", exploration)
        self.reward_scale = None if reward_scale is None else above("reward_scale", reward_scale, 0)
        self.catalogue = catalogue
        self._updates = 0
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        space = self.observation_space
        if not isinstance(space, spaces.Dict) or not {"user", "clicked"} <= space.spaces.keys():
            raise OptionError(
                "SlateQ learns from what users are and take: its environments observe 'user' and "
                f"'clicked', as those of recloop do, not {space}"
            )
        if self.catalogue is None and "documents" not in space.spaces:
            assert self.env is not None
            world = self.env.get_attr("world")[0]
            self.catalogue = world.catalogue.features[world.catalogue.available]
        self.policy_kwargs |= {
            "catalogue": self.catalogue,
            "serving": self.serving,
            "null": self.null,
            "choice_model": self.choice,
        }
        kept = getattr(self, "generator", None)  # of a model that was loaded
        with th.random.fork_rng(devices=[]):
            weights = np.random.default_rng(self.seed).integers(2**63)
            th.manual_seed(int(weights))
            super()._setup_model()
        del self.policy_kwargs["catalogue"]  # is saved once
        if kept is not None:
            self.generator = kept

    def set_random_seed(self, seed: int | None = None) -> None:
        """Seed what this model draws from, and the environment; no global generator."""
        self.generator = np.random.default_rng(seed)
        if seed is not None:
            self.action_space.seed(seed)
            if self.env is not None:
                self.env.seed(seed)

    # --- acting

    def _sample_action(
        self, learning_starts: int, action_noise: object = None, n_envs: int = 1
    ) -> tuple[Rows, Rows]:
        """Return what is shown, and the slates that it stands for."""
        assert isinstance(self._last_obs, dict)
        slates = self._random(n_envs)
        if self.num_timesteps >= learning_starts:
            known = self.generator.random(n_envs) >= self.exploration
            slates[known] = self.policy.slates(self._last_obs)[known]
        return self.policy.actions(slates), slates

    def _random(self, lanes: int) -> Rows:
        """Return slates, all of them as likely."""
        M, K = self.policy.num_candidates, self.policy.slate_size
        draws = self.generator.random((lanes, M))
        best: Rows = np.argpartition(draws, K - 1, axis=1)[:, :K]
        return best

    def _store_transition(
        self,
        replay_buffer: ReplayBuffer,
        buffer_action: np.ndarray[Any, Any],
        new_obs: np.ndarray[Any, Any] | dict[str, np.ndarray[Any, Any]],
        reward: np.ndarray[Any, Any],
        dones: np.ndarray[Any, Any],
        infos: list[dict[str, Any]],
    ) -> None:
        """Keep what was known, shown, taken and earned."""
        assert isinstance(replay_buffer, SlateReplayBuffer)
        assert isinstance(new_obs, dict)
        assert isinstance(self._last_obs, dict)
        clicks = new_obs["clicked"] > 0
        for i in np.flatnonzero(dones):
            clicks[i] = infos[i]["terminal_observation"]["clicked"] > 0
        replay_buffer.add_visits(self._last_obs, buffer_action, clicks, reward, dones)
        self.policy.observe(self._last_obs)
        self._last_obs = new_obs

    # --- learning

    def train(self, gradient_steps: int, batch_size: int) -> None:
        """Take gradient steps on values and choice model, each followed by the target network."""
        buffer = self.replay_buffer
        steps = max(1, round(self.steps_schedule(self._current_progress_remaining)))
        if not buffer.ready(steps):
            return
        if self.reward_scale is None:
            typical = float(buffer.gains[: buffer.size()].square().mean().sqrt())
            self.reward_scale = RETURN_IN_REWARDS * typical if typical > 0 else 1.0
        self.policy.set_training_mode(True)
        self._update_learning_rate([self.policy.optimizer, self.policy.choice_optimizer])
        losses = np.empty((gradient_steps, 2))
        for step in range(gradient_steps):
            batch = buffer.draw(batch_size, steps, self.gamma, self.generator)
            losses[step] = self._value_step(batch), self._choice_step(batch)
            self.policy.follow(self.tau)
        self._updates += gradient_steps
        self.logger.record("train/n_updates", self._updates, exclude="tensorboard")
        self.logger.record("train/n_steps", steps)
        self.logger.record("train/value_loss", losses[:, 0].mean())
        self.logger.record("train/choice_loss", losses[:, 1].mean())

    def _value_step(self, batch: SlateBatch) -> float:
        """Move the value of what was taken towards its target; return the loss."""
        wanted = self.wanted(batch)
        nothing, values = self.policy.judge(
            self.policy.values, batch.context, self.policy.shown(batch.documents, batch.slates)
        )
        value = nothing + ((values - nothing[:, None]) * batch.clicks).sum(dim=1)
        error = (value - wanted) ** 2
        if self.null == "zero":
            error = error[batch.clicks.any(dim=1)]
        return _descend(self.policy.optimizer, self.policy.values, error.mean())

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
        return _descend(self.policy.choice_optimizer, self.policy.choice, loss)

    @th.no_grad()
    def wanted(self, batch: SlateBatch) -> th.Tensor:
        """Return the learning targets of a batch, in units of `reward_scale`: float32 [B]."""
        assert self.reward_scale is not None
        rewards = batch.rewards / self.reward_scale
        if self.target == "MYOP":
            return rewards
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

    # --- leaving

    def to_policy(self, *, seed: int = 0) -> SlateQPolicy:
        """Return what was learned as a policy that needs no torch; see `SlateQPolicy`."""
        return SlateQPolicy.of(self.policy, seed=seed, version=self.num_timesteps)

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "policy.optimizer", "policy.choice_optimizer"], []


def _descend(optimizer: th.optim.Optimizer, towers: th.nn.Module, loss: th.Tensor) -> float:
    """Take a gradient step and return the loss."""
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    th.nn.utils.clip_grad_norm_(towers.parameters(), STEEPEST)
    optimizer.step()
    return float(loss.detach())
