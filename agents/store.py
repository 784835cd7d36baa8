"""Policies on disk: numbers in safetensors, everything else in JSON, nothing that could run.

A folder holds `policy.json` (how the policy is built, its name, its version, its text arrays, and
the digest of its numbers) and `state-<digest>.safetensors`. The JSON is put in place last and at
once, so that a crash while saving leaves the policy that was there before.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as read_arrays
from safetensors.numpy import save as write_arrays

from agents.api import RecloopError
from agents.registry import Spec

if TYPE_CHECKING:
    from agents.api import Policy, State

FORMAT = 1
"""The number of this layout of the folder."""

MANIFEST = "policy.json"


class StoreError(RecloopError, ValueError):
    """A folder that holds no policy, or not the one that was saved there."""


class Text(msgspec.Struct, forbid_unknown_fields=True):
    """An array of text."""

    shape: list[int]
    values: list[str]


class Manifest(msgspec.Struct, forbid_unknown_fields=True):
    """What `policy.json` says."""

    format: int
    spec: str
    seed: int
    policy: str
    version: int
    digest: str
    text: dict[str, Text]


class Stateful(Protocol):
    """What can be kept in a folder: a policy, or a training that shall go on later."""

    @property
    def name(self) -> str:
        """What is kept."""

    def state_dict(self) -> State:
        """Return all there is to keep, as arrays of numbers or text."""

    def load_state_dict(self, state: State) -> None:
        """Take it over."""


def save(policy: Stateful, spec: Spec, folder: Path | str) -> None:
    """Write a policy and what it has learned into a folder, in place of what it held before.

    Parameters
    ----------
    policy : Stateful
        A policy, or what else has a name and a state.
    spec : Spec
        How the policy was built.
    folder : path
        Made if it is not there.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    numbers, text = _sorted_out(policy.state_dict())
    data = write_arrays(numbers)
    manifest = Manifest(
        format=FORMAT,
        spec=str(spec),
        seed=spec.seed,
        policy=policy.name,
        version=int(getattr(policy, "version", 0)),
        digest=_digest(data),
        text=text,
    )
    arrays = folder / _file_of(manifest.digest)
    _replace(arrays, data)
    _replace(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2))
    for old in folder.glob("state-*.safetensors"):
        if old != arrays:
            old.unlink()


def load(folder: Path | str, policy: Policy | None = None) -> Policy:
    """Return the policy that was saved in a folder, with all it had learned.

    Parameters
    ----------
    folder : path
    policy : Policy, optional
        A fresh policy to take the state over. It must be given when the policy is somebody's own:
        loading a folder never runs a file that the folder names.

    Raises
    ------
    StoreError
        If the folder holds no policy, one of another format, or files that were changed.
    """
    folder = Path(folder)
    spec = spec_in(folder)
    if policy is None:
        if spec.own:
            raise StoreError(
                f"{folder} holds a policy of somebody's own, {spec}: build it and give it to load, "
                "which runs no code that a folder names"
            )
        policy = spec.make()
    restore(folder, policy)
    return policy


def restore(folder: Path | str, policy: Stateful) -> None:
    """Let what was built alike take over the state that a folder holds; see `load`."""
    folder = Path(folder)
    manifest = _manifest(folder)
    if policy.name != manifest.policy:
        raise StoreError(f"{folder} holds a policy named {manifest.policy!r}, not {policy.name!r}")
    try:
        policy.load_state_dict(_state(folder, manifest))
    except (KeyError, ValueError, TypeError) as error:
        raise StoreError(f"{folder} holds no state of {policy.name!r}: {error}") from error


def spec_in(folder: Path | str) -> Spec:
    """Return how the policy that a folder holds was built; see `load` for what can go wrong."""
    manifest = _manifest(Path(folder))
    return Spec.parse(manifest.spec, manifest.seed)


def _manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    if not path.is_file():
        raise StoreError(f"{folder} holds no policy: there is no {MANIFEST} in it")
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        if found.get("format") != FORMAT:
            raise StoreError(
                f"{path} is of format {found.get('format')!r}; this recloop reads {FORMAT}"
            )
        return msgspec.convert(found, Manifest)
    except msgspec.MsgspecError as error:
        raise StoreError(f"{path} was not written by recloop: {error}") from error


def _state(folder: Path, manifest: Manifest) -> State:
    path = folder / _file_of(manifest.digest)
    if not path.is_file():
        raise StoreError(f"{path} is missing: {MANIFEST} names it")
    data = path.read_bytes()
    if _digest(data) != manifest.digest:
        raise StoreError(f"{path} was changed since it was saved: its digest is another")
    try:
        state = dict(read_arrays(data))
    except SafetensorError as error:
        raise StoreError(f"{path} is no safetensors file: {error}") from error
    for name, text in manifest.text.items():
        state[name] = np.array(text.values, dtype=np.str_).reshape(text.shape)
    return state


def _sorted_out(state: State) -> tuple[State, dict[str, Text]]:
    """Return the arrays of numbers, contiguous, and those of text."""
    numbers = {
        n: np.ascontiguousarray(a).reshape(a.shape)
        for n, a in state.items()
        if a.dtype.kind in "biuf"
    }
    text = {
        n: Text(list(a.shape), a.ravel().tolist()) for n, a in state.items() if a.dtype.kind == "U"
    }
    strange = sorted(state.keys() - numbers.keys() - text.keys())
    if strange:
        raise StoreError(f"a state is arrays of numbers or text; {strange[0]!r} is neither")
    return numbers, text


def _file_of(digest: str) -> str:
    if not (len(digest) == 32 and set(digest) <= set("0123456789abcdef")):
        raise StoreError(f"{digest!r} is no digest: {MANIFEST} was changed since it was saved")
    return f"state-{digest}.safetensors"


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


def _replace(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    half = path.with_name(path.name + ".part")
    with half.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)
