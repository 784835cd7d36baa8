"""Models of Stable-Baselines3 as arrays and JSON: to stop a training and go on, without pickle.

Its own `.zip` holds pickles. Here networks, optimisers, learned variables, counters and the replay
buffer become the arrays of a state, as every policy's are, for `agents.store` to keep.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from agents.options import StateError, entry

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

    from agents.api import State

COUNTERS = ("num_timesteps", "_n_updates", "_updates", "_episode_num", "_n_calls", "reward_scale")
"""A model's numbers that sway how it goes on."""


def model_state(model: BaseAlgorithm) -> State:
    """Return all that a model has learned and how far it is, as arrays."""
    _, variables = model._get_torch_save_params()
    tree = {
        "parameters": model.get_parameters(),
        "variables": {name: getattr(model, name) for name in variables},
        "counters": {name: getattr(model, name) for name in COUNTERS if hasattr(model, name)},
    }
    buffer = getattr(model, "replay_buffer", None)
    if buffer is not None:
        filled = buffer.buffer_size if buffer.full else buffer.pos
        tree["buffer"] = {
            "pos": buffer.pos,
            "full": buffer.full,
            "arrays": {name: array[:filled] for name, array in _arrays(buffer)},
        }
    return pack(tree)


def load_model_state(model: BaseAlgorithm, state: State) -> None:
    """Let a model that was built alike go on where another one was.

    Raises
    ------
    StateError
        If the state is of another kind of model.
    """
    tree = unpack(state)
    try:
        model.set_parameters(tree["parameters"], exact_match=True)
        for name, value in tree["variables"].items():
            getattr(model, name).data.copy_(value)
        for name, value in tree["counters"].items():
            setattr(model, name, value)
        buffer = getattr(model, "replay_buffer", None)
        if buffer is not None:
            buffer.pos, buffer.full = tree["buffer"]["pos"], tree["buffer"]["full"]
            for name, array in _arrays(buffer):
                kept = tree["buffer"]["arrays"][name]
                array[: len(kept)] = kept if isinstance(array, torch.Tensor) else kept.numpy()
    except (KeyError, ValueError, RuntimeError) as error:
        raise StateError(f"the state is of another model: {error}") from error


def _arrays(buffer: Any) -> list[tuple[str, Any]]:
    """Return a replay buffer's arrays by name; those of dict observations by name and key."""
    found = []
    for name, value in vars(buffer).items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        for key, array in parts:
            numbers = isinstance(array, np.ndarray | torch.Tensor) and array.ndim > 0
            if numbers and len(array) == buffer.buffer_size:
                found.append((f"{name}/{key}" if key else name, array))
    return found


def pack(tree: Any) -> State:
    """Return a tree of dicts, lists, numbers, text and tensors as arrays.

    The tensors are arrays of their own, by number; the rest is JSON, in which their numbers stand
    for them.
    """
    arrays: State = {}

    def plain(part: Any) -> Any:
        if isinstance(part, torch.Tensor | np.ndarray):
            name = f"tensor.{len(arrays)}"
            array = part if isinstance(part, np.ndarray) else part.detach().cpu().numpy()
            arrays[name] = array.copy()
            return {"tensor": name}
        if isinstance(part, dict):
            return {"keys": [[key, plain(value)] for key, value in part.items()]}
        if isinstance(part, list | tuple):
            return [plain(value) for value in part]
        return part

    document = json.dumps(plain(tree))
    return arrays | {"tree": np.array(document, dtype=np.str_)}


def unpack(state: State) -> Any:
    """Return the tree that was packed; arrays come back as tensors.

    Raises
    ------
    StateError
        If there is none in the state.
    """
    if "tree" not in state:
        raise StateError("the state holds no model: it has no 'tree'")

    def back(part: Any) -> Any:
        if isinstance(part, list):
            return [back(value) for value in part]
        if isinstance(part, dict) and "tensor" in part:
            array = state[part["tensor"]]
            return torch.from_numpy(entry(state, part["tensor"], array.dtype.type, array.shape))
        if isinstance(part, dict):
            return {key: back(value) for key, value in part["keys"]}
        return part

    try:
        return back(json.loads(str(state["tree"])))
    except (KeyError, TypeError, ValueError) as error:
        raise StateError(f"the state's 'tree' is damaged: {error}") from error
