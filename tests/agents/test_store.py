"""Policies on disk: they come back as they were, and nothing foreign comes in."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from agents import Popular, Spec, from_spec
from agents.store import StoreError, load, save
from tests.agents.support import catalogue, experience, requests

if TYPE_CHECKING:
    from collections.abc import Callable

    from agents import Policy
    from agents.api import State

NEWCOMER = Path(__file__).with_name("newcomer.py")


def saved(folder: Path, text: str = "linucb:shared=false+epsilon=0.1") -> Policy:
    spec = Spec.parse(text, seed=5)
    policy = spec.make()
    facts = experience(catalogue(6), 40)
    if "squarecb" in text:
        facts.rewards[:] = facts.rewards > 0
    policy.update(facts)
    save(policy, spec, folder)
    return policy


@pytest.mark.parametrize(
    "text",
    ["uniform", "popular", "lints", "linucb:shared=false+epsilon=0.1", "squarecb:gamma=3"],
)
def test_a_policy_comes_back_as_it_was(text: str, tmp_path: Path) -> None:
    policy = saved(tmp_path, text)
    again = load(tmp_path)
    asked = requests(catalogue(6), np.tile(np.arange(6), (30, 1)), slots=2)
    one, other = policy.decide(asked), again.decide(asked)
    np.testing.assert_array_equal(one.slates, other.slates)
    np.testing.assert_array_equal(one.propensities, other.propensities)
    np.testing.assert_array_equal(one.versions, other.versions)
    assert again.name == policy.name


def test_saving_again_replaces_what_was_there(tmp_path: Path) -> None:
    saved(tmp_path, "popular")
    saved(tmp_path, "linucb")
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".safetensors"]
    assert load(tmp_path).name == "linucb"


def test_a_crash_before_the_end_leaves_the_policy_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path, "popular")

    def fails(path: Path, data: bytes) -> None:
        if path.suffix == ".json":
            raise OSError("no space left")
        path.write_bytes(data)

    monkeypatch.setattr("agents.store._replace", fails)
    with pytest.raises(OSError, match="no space"):
        saved(tmp_path, "linucb")
    assert load(tmp_path).name == "popular"


class Speaking(Popular):
    """Its state holds text."""

    def __init__(self) -> None:
        super().__init__()
        self.words = np.array([["ä", ""], ["long words", "b"]])

    def state_dict(self) -> State:
        return super().state_dict() | {"words": self.words.copy()}

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        self.words = state["words"].copy()


def test_text_goes_through_json(tmp_path: Path) -> None:
    save(Speaking(), Spec("tests.agents.test_store:Speaking"), tmp_path)
    again = Speaking()
    again.words = np.array([[""]])
    load(tmp_path, again)
    np.testing.assert_array_equal(again.words, Speaking().words)


def test_ones_own_policy_is_given_and_never_run_from_the_folder(tmp_path: Path) -> None:
    text = f"{NEWCOMER}:Mine+epsilon=0.1"
    saved(tmp_path, text)
    with pytest.raises(StoreError, match="runs no code"):
        load(tmp_path)
    policy = from_spec(text, seed=5)
    assert load(tmp_path, policy) is policy
    with pytest.raises(StoreError, match=r"named 'mine\+epsilon=0.1', not 'popular'"):
        load(tmp_path, Popular())


def test_what_is_no_array_is_not_saved(tmp_path: Path) -> None:
    class Objects(Popular):
        def state_dict(self) -> State:
            return {"model": np.array([self], dtype=object)}

    with pytest.raises(StoreError, match="'model' is neither"):
        save(Objects(), Spec("popular"), tmp_path)


def manifest(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def harm(folder: Path) -> None:
        path = folder / "policy.json"
        said = json.loads(path.read_text())
        change(said)
        path.write_text(json.dumps(said))

    return harm


def numbers(change: Callable[[Path], object]) -> Callable[[Path], None]:
    def harm(folder: Path) -> None:
        change(next(folder.glob("*.safetensors")))

    return harm


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda folder: (folder / "policy.json").unlink(), "no policy.json"),
        (lambda folder: (folder / "policy.json").write_text("{"), "not written by recloop"),
        (lambda folder: (folder / "policy.json").write_text("[1]"), "not written by recloop"),
        (lambda folder: (folder / "policy.json").write_bytes(b"\xff"), "not written by recloop"),
        (manifest(lambda said: said.update(format=99)), "format 99; this recloop reads 1"),
        (manifest(lambda said: said.pop("digest")), "missing required field `digest`"),
        (manifest(lambda said: said.update(extra=1)), "unknown field `extra`"),
        (manifest(lambda said: said.update(digest="../../etc/passwd")), "is no digest"),
        (manifest(lambda said: said.update(digest="0" * 32)), "is missing"),
        (manifest(lambda said: said.update(spec="popular")), "named 'linucb"),
        (manifest(lambda said: said.update(text={"arms": {"shape": [2], "values": ["a"]}})), ""),
        (numbers(Path.unlink), "is missing"),
        (numbers(flipped), "was changed"),
        (numbers(lambda path: path.write_bytes(pickle.dumps([1]))), "was changed"),
    ],
)
def test_tampered_folders_are_refused(
    harm: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    saved(tmp_path)
    harm(tmp_path)
    with pytest.raises(StoreError) as error:
        load(tmp_path)
    assert said in str(error.value)
    assert str(tmp_path) in str(error.value) or "digest" in str(error.value)
