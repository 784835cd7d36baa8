"""What SlateQ and SlateAhead share: how slates are shown and tried, kept and learned from.

`SlateNets` reads observations and turns slates into actions; `SlateLearner` fills a buffer with
visits of many users and takes gradient steps on them, as a Stable-Baselines3 algorithm. An
algorithm says what its networks are, which slates they find best, and what a gradient step is.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.utils import FloatSchedule

from agents.deep.slate_buffer import SlateBatch, SlateReplayBuffer
from agents.deep.slate_net import of_places
from agents.options import OptionError, above, at_least, share
from agents.ranks import ranks_from

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from stable_baselines3.common.buffers import ReplayBuffer
    from stable_baselines3.common.type_aliases import GymEnv, Schedule

    from agents.api import Rows
    from agents.deep.slate_net import Towers

STEEPEST = 10.0
"""The norm that gradients are cut to."""
RETURN_IN_REWARDS = 10.0
"""Values are learned in units of so many typical rewards."""


class SlateNets(BasePolicy):
    """The networks of an algorithm whose action is a slate.

    Parameters
    ----------
    observation_space : Dict
    action_space : MultiDiscrete
    catalogue : float32 [M, F], optional
        The features of the candidates, where they are not observed.
    """

    catalogue: th.Tensor | None

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.MultiDiscrete[Any],
        catalogue: NDArray[np.float32] | None,
    ) -> None:
        super().__init__(observation_space, action_space)
        self.num_candidates = int(action_space.nvec[0])
        self.slate_size = len(action_space.nvec)
        # Ranks count what is left for a slot; an environment of one user takes places instead.
        ranks = self.num_candidates - np.arange(self.slate_size)
        self.ranked = bool((action_space.nvec == ranks).all())
        self.context_width = _width(observation_space["user"])
        if catalogue is None:
            self.item_width = _width(observation_space["documents"])
            self.catalogue = None
        else:
            self.item_width = catalogue.shape[1]
            self.register_buffer("catalogue", th.from_numpy(catalogue))

    @abstractmethod
    def towers(self) -> Iterator[Towers]:
        """Return what standardises features."""

    @abstractmethod
    def best_for(self, context: th.Tensor, items: th.Tensor) -> th.Tensor:
        """Return the slates that are found best: int64 [B, K]."""

    @abstractmethod
    def follow(self, tau: float) -> None:
        """Move the target network by tau towards the values."""

    # --- what is on offer

    def on_offer(self, documents: th.Tensor | None) -> th.Tensor:
        """Return the features of all candidates: float32 [B, M, F], or [M, F] of a catalogue."""
        items = self.catalogue if documents is None else documents
        assert items is not None
        return items

    def shown(self, documents: th.Tensor | None, slates: th.Tensor) -> th.Tensor:
        """Return the features of what stands in slates: float32 [B, K, F]."""
        return of_places(lambda items: items, self.on_offer(documents), slates)

    # --- deciding

    @th.no_grad()
    def slates(self, observation: dict[str, Any]) -> Rows:
        """Return the slates that are shown: int64 [B, K], places among the candidates."""
        context, documents = self._known(observation)
        slates: Rows = self.best_for(context, self.on_offer(documents)).cpu().numpy()
        return slates

    def actions(self, slates: Rows) -> Rows:
        """Return slates as the environment takes them."""
        return ranks_from(slates) if self.ranked else slates

    def _predict(self, observation: Any, deterministic: bool = False) -> th.Tensor:
        return th.from_numpy(self.actions(self.slates(observation)))

    def _known(self, observation: dict[str, Any]) -> tuple[th.Tensor, th.Tensor | None]:
        documents = None
        if self.catalogue is None:
            documents = th.as_tensor(observation["documents"], device=self.device)
        return th.as_tensor(observation["user"], device=self.device), documents

    # --- learning

    def observe(self, observation: dict[str, Any]) -> None:
        """Take a step's observation into the standardisation of features."""
        context, documents = self._known(observation)
        items = self.on_offer(None) if documents is None else documents[:, 0]
        for towers in self.towers():
            towers.observe(context, items)


class SlateLearner(OffPolicyAlgorithm):
    """An off-policy algorithm whose action is a slate.

    Parameters
    ----------
    policy, env, learning_rate, buffer_size, learning_starts, batch_size, tau, gamma, train_freq, \
gradient_steps, n_steps, exploration, reward_scale, catalogue, policy_kwargs, seed, \
stats_window_size, tensorboard_log, verbose, device
        See `agents.SlateQ`.
    """

    policy: SlateNets
    replay_buffer: SlateReplayBuffer
    optimizers: ClassVar[tuple[str, ...]]
    """The optimisers of the networks, by their names."""

    def __init__(
        self,
        policy: str | type[BasePolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule,
        buffer_size: int,
        learning_starts: int,
        batch_size: int,
        tau: float,
        gamma: float,
        train_freq: int,
        gradient_steps: int,
        *,
        n_steps: float | Schedule,
        exploration: float,
        reward_scale: float | None,
        catalogue: np.ndarray[Any, np.dtype[np.float32]] | None,
        **others: Any,
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
            replay_buffer_class=SlateReplayBuffer,
            support_multi_env=True,
            sde_support=False,
            supported_action_spaces=(spaces.MultiDiscrete,),
            **others,
        )
        self.steps_schedule = FloatSchedule(n_steps)
        at_least("n_steps", self.steps_schedule(1.0), 1.0)
        self.exploration = share("exploration", exploration)
        self.reward_scale = None if reward_scale is None else above("reward_scale", reward_scale, 0)
        self.catalogue = catalogue
        self._updates = 0

    @property
    def unit(self) -> float:
        """The unit of values, once there are rewards to find it from."""
        assert self.reward_scale is not None
        return self.reward_scale

    def of_nets(self) -> dict[str, Any]:
        """Return what the networks must know of the algorithm's options."""
        return {}

    @abstractmethod
    def gradient_step(self, batch: SlateBatch) -> dict[str, float]:
        """Move the networks; return the losses by their names."""

    def _setup_model(self) -> None:
        space = self.observation_space
        if not isinstance(space, spaces.Dict) or not {"user", "clicked"} <= space.spaces.keys():
            raise OptionError(
                f"{type(self).__name__} learns from what users are and take: its environments "
                f"observe 'user' and 'clicked', as those of recloop do, not {space}"
            )
        if self.catalogue is None and "documents" not in space.spaces:
            assert self.env is not None
            world = self.env.get_attr("world")[0]
            self.catalogue = world.catalogue.features[world.catalogue.available]
        given = self.policy_kwargs  # the caller's, and saved without what the model knows anyway
        self.policy_kwargs = given | {"catalogue": self.catalogue} | self.of_nets()
        kept = getattr(self, "generator", None)  # of a model that was loaded
        with th.random.fork_rng(devices=[]):
            weights = np.random.default_rng(self.seed).integers(2**63)
            th.manual_seed(int(weights))
            super()._setup_model()
        self.policy_kwargs = given
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
        """Take gradient steps, each followed by the target network."""
        buffer = self.replay_buffer
        steps = max(1, round(self.steps_schedule(self._current_progress_remaining)))
        if not buffer.ready(steps):
            return
        if self.reward_scale is None:
            typical = float(buffer.gains[: buffer.size()].square().mean().sqrt())
            self.reward_scale = RETURN_IN_REWARDS * typical if typical > 0 else 1.0
        self.policy.set_training_mode(True)
        self._update_learning_rate([getattr(self.policy, name) for name in self.optimizers])
        losses: dict[str, float] = {}
        for _ in range(gradient_steps):
            batch = buffer.draw(batch_size, steps, self.gamma, self.generator)
            for name, loss in self.gradient_step(batch).items():
                losses[name] = losses.get(name, 0.0) + loss / gradient_steps
            self.policy.follow(self.tau)
        self._updates += gradient_steps
        self.logger.record("train/n_updates", self._updates, exclude="tensorboard")
        self.logger.record("train/n_steps", steps)
        for name, loss in losses.items():
            self.logger.record(f"train/{name}", loss)

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", *(f"policy.{name}" for name in self.optimizers)], []


def descend(optimizer: th.optim.Optimizer, loss: th.Tensor) -> float:
    """Take a gradient step of all that the optimiser moves; return the loss."""
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    moved = [weights for group in optimizer.param_groups for weights in group["params"]]
    th.nn.utils.clip_grad_norm_(moved, STEEPEST)
    optimizer.step()
    return float(loss.detach())


def _width(space: spaces.Space[Any]) -> int:
    assert space.shape is not None
    return int(space.shape[-1])
