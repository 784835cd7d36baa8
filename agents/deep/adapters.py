"""What others trained, made a `Policy` with stated propensities, or refused with the reason.

`from_sb3` takes the actors and value networks of Stable-Baselines3 and sb3-contrib, `from_torch`
any module that scores items; `agents.river` does the same for River's online models. Where a
network is a stack that `agents.deep.mlp` runs, decisions take microseconds and need no torch: such
policies are saved by `agents.store`, and loaded where there is no torch at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy

from agents.api import PAD, RecloopError
from agents.deep.export import ExportError, compile_module
from agents.deep.latent import Latent, LatentPolicy
from agents.deep.places import PlaceNet, Places, SlotNet
from agents.options import entry
from agents.slots import ScorePolicy

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from stable_baselines3.common.base_class import BaseAlgorithm
    from torch import nn

    from agents.api import Floats, Keys, Policy, Requests, State
    from agents.deep.mlp import Mlp

CARRIED = ("documents", "user")
"""What of an observation a request carries: the candidates' features, and the context."""


class AdapterError(RecloopError, TypeError):
    """Something that cannot state the probabilities of its slates, or be run on requests."""


def from_sb3(
    model: BaseAlgorithm, *, keys: Keys | None = None, ranks: bool | None = None, seed: int = 0
) -> Policy:
    """Return the policy of a Stable-Baselines3 model, which is not changed by it.

    - MultiDiscrete and Discrete actions of an actor (PPO, A2C, MaskablePPO): drawn slot by slot
      from the actor's own logits, without what has been shown; see `SlotNet`.
    - Discrete actions of DQN: the highest values, propensity 1; `Explore` wraps it.
    - Box actions (SAC, TD3, DDPG, PPO, A2C): the mean action as a point among the items' features,
      the nearest shown, propensity 1; see `LatentPolicy`, which has an `epsilon`.

    Parameters
    ----------
    model : Stable-Baselines3 algorithm
    keys : uint64 [n], optional
        The items that the actions' numbers stand for, if it was trained on a fixed catalogue.
    ranks : bool, optional
        Whether a slot's action is a rank among the items still open. If not given: whether each
        slot has one action fewer than the one before it, as in `envs.sb3`.
    seed : int
        Of the policy's choices.

    Raises
    ------
    AdapterError
        If the model observes what no request carries, or its actions are of another kind.
    ExportError
        If its network is no stack that can be compiled.
    """
    policy = model.policy
    head = _head(model)
    if isinstance(policy, ActorCriticPolicy | MaskableActorCriticPolicy):
        hidden = policy.mlp_extractor.policy_net
        if isinstance(model.action_space, spaces.Box):
            unit = _into_unit(_box(model))  # their mean is in the units of the Box, and is clipped
            return _pointing(model, compile_module(hidden, policy.action_net, unit), seed)
        net = compile_module(hidden, policy.action_net)
        logits = _logits(model.action_space)
        falling = len(logits) > 1 and bool((np.diff(logits) == -1).all())
        slots = SlotNet(seed=seed)
        slots.adopt(Places(net, keys), logits, ranks=falling if ranks is None else ranks)
        return slots
    if isinstance(policy, DQNPolicy):
        values = PlaceNet(seed=seed)
        values.adopt(Places(compile_module(policy.q_net.q_net), keys))
        return values
    if isinstance(policy, SACPolicy):
        actor = compile_module(policy.actor.latent_pi, policy.actor.mu, torch.nn.Tanh())
        return _pointing(model, actor, seed)
    if isinstance(policy, TD3Policy):
        return _pointing(model, compile_module(policy.actor.mu), seed)
    raise AdapterError(f"{head} has a {type(policy).__name__}, whose choices are not known here")


def _head(model: BaseAlgorithm) -> str:
    """Return what to call a model, once it is sure that requests carry what it observes."""
    head, space = type(model).__name__, model.observation_space
    if isinstance(space, spaces.Dict):
        foreign = [name for name in space.spaces if name not in CARRIED]
        if foreign:
            raise AdapterError(
                f"{head} observes {', '.join(foreign)}, which no request carries: train it on "
                f"{' and '.join(CARRIED)} alone (envs.served does)"
            )
    elif not (isinstance(space, spaces.Box) and len(space.shape) == 1):
        raise AdapterError(f"{head} observes {space}: a request is a row of numbers")
    if hasattr(model.policy, "lstm_actor"):
        raise AdapterError(f"{head} remembers earlier observations, and a request stands alone")
    extractor = getattr(model.policy, "features_extractor", None)
    if extractor is not None and not isinstance(extractor, FlattenExtractor | CombinedExtractor):
        raise AdapterError(f"{head} reads observations by a {type(extractor).__name__} of its own")
    return head


def _logits(space: spaces.Space[Any]) -> NDArray[np.int64]:
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
        return space.nvec.astype(np.int64)
    if isinstance(space, spaces.Discrete):
        return np.array([space.n], dtype=np.int64)
    raise AdapterError(f"actions of {space} are no slates: MultiDiscrete, Discrete and Box can be")


def _pointing(model: BaseAlgorithm, actor: Mlp, seed: int) -> LatentPolicy:
    """Return the policy of an actor whose outputs are actions in [-1, 1]."""
    box = _box(model)
    policy = LatentPolicy(seed=seed)
    policy.adopt(actor, Latent(box.low.astype(np.float32), box.high.astype(np.float32)))
    return policy


def _box(model: BaseAlgorithm) -> spaces.Box:
    space = model.action_space
    if isinstance(space, spaces.Box) and len(space.shape) == 1 and space.is_bounded():
        return space
    raise AdapterError(f"actions of {space} point nowhere: they must be a bounded Box [F]")


def _into_unit(box: spaces.Box) -> nn.Linear:
    """Return the layer that maps a Box onto [-1, 1]."""
    layer = torch.nn.Linear(box.shape[0], box.shape[0])
    scale = torch.from_numpy(2.0 / (box.high - box.low))
    with torch.no_grad():
        layer.weight.copy_(torch.diag(scale))
        layer.bias.copy_(-1.0 - scale * torch.from_numpy(box.low))
    return layer


def from_torch(module: nn.Module, *, name: str = "torch", seed: int = 0) -> TorchRanker:
    """Return a policy that shows what a torch module scores highest.

    Parameters
    ----------
    module : torch module
        Either a stack of Linear, ReLU, Tanh and LayerNorm that maps rows (context, item) to one
        score: it is compiled. Or any module that maps context [1, D] and items [1, n, F] to scores
        [1, n]: it is asked by torch itself, one request at a time, so that decisions replay; that
        takes a hundred microseconds and more.
    name : str
        What decisions are logged under.
    seed : int

    Returns
    -------
    TorchRanker
        Propensity 1; `Explore` wraps it.
    """
    return TorchRanker(module, name=name, seed=seed)


class TorchRanker(ScorePolicy):
    """Shows what a torch module scores highest; see `from_torch`."""

    def __init__(self, module: nn.Module, *, name: str = "torch", seed: int = 0) -> None:
        super().__init__(seed=seed)
        self.name = name
        self.module = module.eval()
        self.net = self._compile()

    def _compile(self) -> Mlp | None:
        try:
            net = compile_module(self.module)
        except ExportError:
            return None
        if net.n_out != 1:
            raise AdapterError(f"a module of rows answers one score, not {net.n_out}")
        return net

    def scores(self, requests: Requests) -> Floats:
        """Ask the network."""
        candidates = requests.candidates
        if self.net is not None:
            return self.net.pairs(requests.context, requests.items.features, candidates)
        out = np.zeros(candidates.shape)
        with torch.inference_mode():
            for b in range(len(candidates)):
                offered = candidates[b] != PAD
                if offered.any():
                    items = requests.items.features[candidates[b, offered]][None]
                    out[b, offered] = self._ask(requests.context[[b]], items)
        return out

    def _ask(self, context: NDArray[np.float32], items: NDArray[np.float32]) -> NDArray[np.float32]:
        answer = self.module(torch.from_numpy(context), torch.from_numpy(items))
        if tuple(answer.shape) != items.shape[:2]:
            raise AdapterError(
                f"the module answered {tuple(answer.shape)} for context {context.shape} and items "
                f"{items.shape}; it must answer a score for every item: {items.shape[:2]}"
            )
        scores: NDArray[np.float32] = answer.numpy()[0]
        return scores

    def state_dict(self) -> State:
        """Return the module's tensors as arrays."""
        tensors = self.module.state_dict().items()
        return super().state_dict() | {f"module.{n}": t.cpu().numpy().copy() for n, t in tensors}

    def load_state_dict(self, state: State) -> None:
        """Take over tensors of a module of the same shape."""
        mine = self.module.state_dict()
        kinds = {name: tensor.cpu().numpy() for name, tensor in mine.items()}
        taken = {
            name: torch.from_numpy(entry(state, f"module.{name}", kind.dtype.type, kind.shape))
            for name, kind in kinds.items()
        }
        super().load_state_dict(state)
        self.module.load_state_dict(taken)
        self.net = self._compile()
