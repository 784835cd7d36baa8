"""The algorithms of Stable-Baselines3 and its contributors, made to drive slates.

Each is a few lines: what it acts by, the algorithm, and the policy that serves what it has learned.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
from sb3_contrib import MaskablePPO
from stable_baselines3 import A2C, PPO, SAC, TD3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat
from stable_baselines3.common.noise import NormalActionNoise, VectorizedActionNoise

from agents import RecloopError, Spec, from_spec
from agents.deep.actors import RankerActorCritic
from agents.deep.adapters import from_sb3
from agents.deep.ahead import SlateAhead
from agents.deep.checkpoints import load_model_state, model_state
from agents.deep.export import compile_module
from agents.deep.latent import Latent, LatentPolicy
from agents.deep.memory import Memory
from agents.deep.places import SlotNet
from agents.deep.slate_vae import fit_vae, latent_of
from agents.deep.slateq import SlateQ
from agents.deep.wolpertinger import WolpertingerSAC, WolpertingerTD3
from agents.streams import row_of
from envs.learners import Learner, own_generators
from envs.sb3 import SlateVecEnv
from envs.served import Judged, MaskedRanks, Points, ServedVecEnv, Whole, served
from simulators import BatchedWorld, rollout

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stable_baselines3.common.base_class import BaseAlgorithm

    from agents import Policy
    from agents.api import Floats, State
    from simulators import World

DISCOUNT = 0.95
ROLLOUT = 20
"""How many steps of every lane PPO learns from at a time."""
LOGGED = (200, 50)
"""How many users, and requests of each, a slate autoencoder is trained on."""


class Sb3Learner(Learner):
    """A model of Stable-Baselines3 in one of our environments.

    Parameters
    ----------
    env : SlateVecEnv
    model : Stable-Baselines3 algorithm
    serve : callable
        Returns the policy that serves the model, and the spec that builds it.
    lanes, seed : int
        See `Learner`.
    """

    def __init__(
        self,
        env: SlateVecEnv,
        model: BaseAlgorithm,
        serve: Callable[[], tuple[Policy, Spec]],
        lanes: int,
        seed: int,
    ) -> None:
        super().__init__(env.env.world, lanes, seed)
        self.env, self.model, self.serve = env, model, serve

    def learn(
        self, chapter: int, steps: int, advance: Callable[[int], None], stop: Callable[[], bool]
    ) -> Floats:
        """Let the model learn; see `Learner.learn`. PPO and A2C end with a whole rollout."""
        model, diary = self.model, Diary(advance, stop)
        keys = self.keys(chapter)
        with own_generators(int(keys[0])):
            self.env._seeds = [int(key) for key in keys]
            model._last_obs = None  # has it begin with the users of these seeds
            model.action_space.seed(int(keys[0] % np.uint64(2**32)))
            model.learn(steps * self.lanes, callback=diary, reset_num_timesteps=False)
        return np.array(diary.curve[:steps], dtype=np.float64)

    def policy(self) -> tuple[Policy, Spec]:
        """Return the policy that serves the model."""
        return self.serve()

    def state_dict(self) -> State:
        """Return the model's networks, optimisers and replay buffer."""
        return model_state(self.model)

    def load_state_dict(self, state: State) -> None:
        """Take over another model's."""
        load_model_state(self.model, state)


class SlateLearning(Sb3Learner):
    """An algorithm whose generator is its own, and whose buffer runs on from visit to visit."""

    model: SlateQ | SlateAhead

    def learn(
        self, chapter: int, steps: int, advance: Callable[[int], None], stop: Callable[[], bool]
    ) -> Floats:
        """Let the model learn; to its buffer the end of a chapter is the end of its sessions."""
        self.model.generator = np.random.default_rng(int(self.keys(chapter)[0]))
        curve = super().learn(chapter, steps, advance, stop)
        buffer = self.model.replay_buffer
        buffer.ends[(buffer.pos - 1) % buffer.buffer_size] = True
        return curve


class Diary(BaseCallback):
    """Notes every step's mean reward, and ends a training when it is asked to."""

    def __init__(self, advance: Callable[[int], None], stop: Callable[[], bool]) -> None:
        super().__init__()
        self.advance, self.stop = advance, stop
        self.curve: list[float] = []

    def _on_step(self) -> bool:
        self.curve.append(float(self.locals["rewards"].mean()))
        self.advance(len(self.curve))
        return not self.stop()


def build(agent: str, world: World, lanes: int, seed: int, board: Path | None) -> Learner:
    """Return a deep learner; see `envs.make_learner`."""
    name, _, options = agent.partition(":")
    if options:
        raise RecloopError(f"{name} takes no options, so {options!r} cannot be one")
    if not isinstance(world, BatchedWorld):
        raise RecloopError(f"{world.name} is no world that environments are made of")
    with own_generators(seed):
        learner = BUILDERS[name](world, lanes, seed)
    if board is not None:
        learner.model.set_logger(Logger(str(board), [TensorBoardOutputFormat(str(board))]))
    else:
        learner.model.set_logger(Logger(None, []))
    return learner


def _by_rollouts(lanes: int) -> dict[str, Any]:
    """Return how PPO learns from its rollouts: each five times, in four parts."""
    return {"n_steps": ROLLOUT, "batch_size": max(1, ROLLOUT * lanes // 4), "n_epochs": 5}


def _ranking(kind: type[PPO | A2C]) -> Callable[..., Sb3Learner]:
    """Return the builder of PPO or A2C with an actor that scores items."""

    def make(world: BatchedWorld, lanes: int, seed: int) -> Sb3Learner:
        options = _by_rollouts(lanes) if issubclass(kind, PPO) else {"n_steps": 5}
        env = ServedVecEnv(served(world, lanes), Whole(world))
        items = None if world.catalogue is None else world.catalogue.features[world.open_rows]
        model = kind(
            RankerActorCritic,
            env,
            policy_kwargs={"items": items},
            gamma=DISCOUNT,
            learning_rate=3e-3,
            device="cpu",
            **options,
        )

        def serve() -> tuple[Policy, Spec]:
            actor = model.policy
            assert isinstance(actor, RankerActorCritic)
            spec = Spec("reinforce", {"discount": DISCOUNT}, seed=seed)
            return actor.served(seed=seed, discount=DISCOUNT), spec

        return Sb3Learner(env, model, serve, lanes, seed)

    return make


def _masked(world: BatchedWorld, lanes: int, seed: int) -> Sb3Learner:
    """Return MaskablePPO on ranks: its masks leave each slot the ranks that are left."""
    env = ServedVecEnv(served(world, lanes), MaskedRanks(world))
    policy = "MultiInputPolicy" if env.documents else "MlpPolicy"
    model = MaskablePPO(
        policy,
        env,
        learning_rate=5e-3,
        gamma=DISCOUNT,
        device="cpu",
        **_by_rollouts(lanes),
    )

    def serve() -> tuple[Policy, Spec]:
        keys = None if world.catalogue is None else world.catalogue.keys[world.open_rows]
        policy = from_sb3(model, keys=keys, ranks=True, seed=seed)
        assert isinstance(policy, SlotNet)
        return policy, Spec("slot-net", seed=seed)

    return Sb3Learner(env, model, serve, lanes, seed)


def _space(world: BatchedWorld) -> Latent:
    """Return the box that the features of items lie in, as far as a look at the world tells."""
    if world.item_width == 0:
        raise RecloopError(f"{world.name} has items without features: nothing can be near them")
    if world.catalogue is not None:
        items = world.catalogue.features
    else:
        seen = deepcopy(world)  # the environment counts on a world that nobody has entered
        seen.reset(row_of(0, 256))
        items = seen.documents().reshape(-1, world.item_width)
    return Latent(items.min(axis=0), items.max(axis=0))


def _pointing(kind: type[SAC | TD3 | PPO]) -> Callable[..., Sb3Learner]:
    """Return the builder of latent top-k: the items nearest to a continuous action."""

    def make(world: BatchedWorld, lanes: int, seed: int) -> Sb3Learner:
        return _continuous(world, kind, Points(world, _space(world)), lanes, seed)

    return make


def _disposing(kind: type[WolpertingerSAC | WolpertingerTD3]) -> Callable[..., Sb3Learner]:
    """Return the builder of Wolpertinger: the most valued of the items nearest to an action."""

    def make(world: BatchedWorld, lanes: int, seed: int) -> Sb3Learner:
        nearest = min(world.num_candidates, max(3 * world.slate_size, world.num_candidates // 10))
        actions = Judged(world, _space(world)._replace(nearest=nearest))
        learner = _continuous(world, kind, actions, lanes, seed)
        actions.model = learner.model
        return learner

    return make


def _generating(world: BatchedWorld, lanes: int, seed: int) -> Sb3Learner:
    """Return GeMS: SAC in the latent space of an autoencoder of logged slates."""
    users, visits = LOGGED
    memory = Memory(users * visits, 32, seed)
    logged = deepcopy(world)
    logged.reset(row_of(seed, users))
    logging = from_spec("neural-ranker:every=4,temperature=0.5", seed)
    for response in rollout(logged, logging, visits):
        for row in memory.fit(response.facts).tolist():
            memory.add(response.facts, row)
    vae, _ = fit_vae(memory)
    return _continuous(world, SAC, Points(world, latent_of(vae)), lanes, seed)


def _continuous(
    world: BatchedWorld, kind: Any, actions: Points, lanes: int, seed: int
) -> Sb3Learner:
    """Return a continuous algorithm that acts by points, from the context alone."""
    env = ServedVecEnv(served(world, lanes), actions, documents=False)
    options: dict[str, Any] = {"gamma": DISCOUNT, "device": "cpu", "learning_rate": 1e-3}
    options["policy_kwargs"] = {"net_arch": [64, 64]}
    if issubclass(kind, PPO):
        options |= _by_rollouts(lanes)
    else:
        options |= {"learning_starts": 5 * lanes, "gradient_steps": 4, "buffer_size": 50_000}
    if issubclass(kind, TD3):
        width = len(actions.latent.low)
        noise = NormalActionNoise(np.zeros(width), np.full(width, 0.2))
        options["action_noise"] = VectorizedActionNoise(noise, lanes)
    model = kind("MlpPolicy", env, **options)

    def serve() -> tuple[Policy, Spec]:
        policy = from_sb3(model, seed=seed)
        assert isinstance(policy, LatentPolicy)
        critic = compile_module(model.critic.q_networks[0]) if isinstance(actions, Judged) else None
        policy.adopt(policy.actor, actions.latent, critic)
        return policy, Spec("latent", seed=seed)

    return Sb3Learner(env, model, serve, lanes, seed)


def _slateq(world: BatchedWorld, lanes: int, seed: int) -> SlateLearning:
    """Return SlateQ, which may look at what users took."""
    options = {"learning_rate": 1e-3, "batch_size": 512, "gamma": 0.99}
    return _of_slates(SlateQ, "slateq", world, lanes, seed, options)


def _slate_ahead(world: BatchedWorld, lanes: int, seed: int) -> SlateLearning:
    """Return SlateAhead, which may too."""
    return _of_slates(SlateAhead, "slate-ahead", world, lanes, seed, {"batch_size": 512})


def _of_slates(
    kind: type[SlateQ] | type[SlateAhead],
    name: str,
    world: BatchedWorld,
    lanes: int,
    seed: int,
    options: dict[str, Any],
) -> SlateLearning:
    env = SlateVecEnv(served(world, lanes))
    model = kind(
        "MultiInputPolicy", env, learning_starts=20 * lanes, seed=seed, device="cpu", **options
    )

    def serve() -> tuple[Policy, Spec]:
        return model.to_policy(seed=seed), Spec(name, seed=seed)

    return SlateLearning(env, model, serve, lanes, seed)


BUILDERS: dict[str, Callable[[BatchedWorld, int, int], Sb3Learner]] = {
    "ppo": _ranking(PPO),
    "a2c": _ranking(A2C),
    "maskable-ppo": _masked,
    "latent-topk": _pointing(SAC),
    "latent-topk-td3": _pointing(TD3),
    "latent-topk-ppo": _pointing(PPO),
    "wolpertinger-sac": _disposing(WolpertingerSAC),
    "wolpertinger-td3": _disposing(WolpertingerTD3),
    "gems": _generating,
    "slateq": _slateq,
    "slate-ahead": _slate_ahead,
}
"""What is trained in environments, by name."""
