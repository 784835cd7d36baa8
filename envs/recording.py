"""The recorder for Minari: a rollout as the offline data set of reinforcement learning.

Observations and actions are those of the world's environment, so that an episode which is replayed
there (`reset(seed=...)`, then its actions) brings the same rewards, and what learns from Minari's
data sets learns from any of our policies in any of our worlds. What is written is Arrow, which
needs no library that the logs in Parquet do not need.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import minari
import numpy as np
from minari.data_collector.episode_buffer import EpisodeBuffer
from minari.dataset.minari_storage import METADATA_FILE_NAME, MinariStorage
from minari.storage.datasets_root_dir import get_dataset_path

from agents import PAD
from envs.coat import action_space, observation_space, observe
from simulators import BatchedWorld, Recorder, WorldError

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec
    from numpy.typing import NDArray

    from agents.api import Floats, Requests, Rows
    from envs.coat import Mask, Observation
    from simulators import Response

_ID = re.compile(r"([-_\w]+/)*[-_\w]+-v\d+")


@dataclass(frozen=True, slots=True)
class _Step:
    """What all lanes saw, did and got at a step."""

    seen: Observation
    actions: Rows
    reward: Floats
    propensities: Floats
    expected: Floats


class MinariRecorder(Recorder):
    """Writes the episodes of a world as a Minari data set, which `minari.load_dataset` loads.

    An episode of T steps has T + 1 observations. Its `infos`, one for every observation, tell of
    the action that followed: "propensity", the probability of the slate; "propensities" [K] and
    "expected" [K], slot by slot. They are NaN after the last step. A user who was still there at
    the end has a truncated episode. An episode's seed is in its metadata where `reset(seed=...)`
    brings its user.

    Parameters
    ----------
    dataset_id : str
        As Minari has it, "recloop/interest-evolution/uniform-v0"; it is written where Minari looks
        (MINARI_DATASETS_PATH, or `~/.minari/datasets`).
    world : BatchedWorld
    algorithm : str, optional
        The policy's name.
    spec : EnvSpec, optional
        Of the world's environment, so that `recover_environment` can make it.

    Raises
    ------
    WorldError
        If the id is not one, or there is such a data set already.
    """

    def __init__(
        self,
        dataset_id: str,
        world: BatchedWorld,
        *,
        algorithm: str | None = None,
        spec: EnvSpec | None = None,
    ) -> None:
        super().__init__(world)
        if not _ID.fullmatch(dataset_id):
            raise WorldError(
                f"{dataset_id!r} is not the name of a Minari data set: write it as "
                f"recloop/{world.name}/uniform-v0, with a version at the end"
            )
        folder = get_dataset_path(dataset_id) / "data"
        if (folder / METADATA_FILE_NAME).exists():
            raise WorldError(
                f"there is a Minari data set {dataset_id} already, in {folder.parent}: "
                "take another name or version, or delete it"
            )
        folder.mkdir(parents=True, exist_ok=True)
        self._storage = MinariStorage.new(
            folder,
            observation_space=observation_space(world),
            action_space=action_space(world),
            env_spec=spec,
            data_format="arrow",
        )
        said = {"dataset_id": dataset_id, "minari_version": minari.__version__}
        said |= {"requirements": ["recloop"]} if spec is not None else {}
        said |= {"algorithm_name": algorithm} if algorithm is not None else {}
        self._storage.update_metadata(said)
        self._size = self._storage.get_size
        # Minari measures the whole folder after every episode, which takes hours for ten thousand.
        self._storage.get_size = lambda: 0.0
        self.path = folder.parent
        self.episodes = 0
        self._steps: list[_Step] = []
        self._dropped = 0
        self._began: Rows = np.zeros(0, dtype=np.int64)
        self._told: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        self._seen: Observation | None = None

    def before(self) -> None:
        """See what the present users show of themselves."""
        world = self.world
        if self._seen is None:
            B = len(world)
            self._began = np.zeros(B, dtype=np.int64)
            self._told = np.zeros((len(world.signals), B, world.slate_size), dtype=np.float32)
        fresh: Mask = (world.lanes["visit"] == 0) & ~world.lanes["ended"]
        if fresh.any() or self._seen is None:
            world.open(self._told, fresh)
            self._seen = observe(world, self._told)
            self._began[fresh] = self._dropped + len(self._steps)

    def after(self, response: Response) -> None:
        """Keep the step, and write the episodes that it ended.

        Raises
        ------
        WorldError
            If a slate has an empty slot, which no action of the environment has.
        """
        assert self._seen is not None, "before() comes first"
        feedback, decisions = response.feedback, response.outcomes.decisions
        actions = _actions(response.outcomes.requests, decisions.slates)
        if (actions[feedback.asked] == PAD).any():
            raise WorldError(
                f"{self.world.name} was shown a slate with an empty slot, which is no action of "
                "its environment: a Minari data set cannot hold it"
            )
        told = decisions.propensities, response.expected
        self._steps.append(_Step(self._seen, actions, feedback.reward, *told))
        self._told = feedback.told[1:]
        self._seen = observe(self.world, self._told)
        self._write(np.flatnonzero(feedback.terminated), terminated=True)
        self._write(np.flatnonzero(feedback.truncated))
        self._forget()

    def close(self) -> None:
        """Write the episodes of those who are still there, and complete the data set."""
        if self._seen is not None:
            kept = self._began < self._dropped + len(self._steps)
            self._write(np.flatnonzero(kept & ~self.world.lanes["ended"]))
        self._storage.update_metadata({"dataset_size": float(self._size())})
        self._seen, self._steps = None, []

    def _write(self, lanes: Rows, terminated: bool = False) -> None:
        """Write the episodes of lanes that end here."""
        if len(lanes):
            self._storage.update_episodes([self._episode(lane, terminated) for lane in lanes])
            self.episodes += len(lanes)

    def _episode(self, lane: int, terminated: bool) -> EpisodeBuffer:
        assert self._seen is not None
        steps = self._steps[self._began[lane] - self._dropped :]
        looks = [step.seen for step in steps] + [self._seen]
        last = np.arange(len(steps)) == len(steps) - 1
        propensities = np.stack([step.propensities[lane] for step in steps])
        record = self.world.lanes[lane]
        return EpisodeBuffer(
            seed=int(record["seed"]) if record["episode"] == 0 else None,
            observations={
                name: np.stack([look[name][lane] for look in looks]) for name in looks[0]
            },
            actions=np.stack([step.actions[lane] for step in steps]),
            rewards=np.array([step.reward[lane] for step in steps]),
            terminations=last & terminated,
            truncations=last & (not terminated),
            infos={
                "propensity": _padded(propensities.prod(axis=1)).tolist(),  # an array it can't read
                "propensities": _padded(propensities),
                "expected": _padded(np.stack([step.expected[lane] for step in steps])),
            },
        )

    def _forget(self) -> None:
        """Let go of the steps that no present user was there for."""
        now = self._dropped + len(self._steps)
        first = int(self._began[~self.world.lanes["ended"]].min(initial=now))
        del self._steps[: first - self._dropped]
        self._dropped = first


def _actions(requests: Requests, slates: Rows) -> Rows:
    """Return slates of rows as places among the candidates: int64 [B, K]; `PAD` in empty slots."""
    same = requests.candidates[:, None, :] == slates[:, :, None]
    return np.where((slates != PAD) & same.any(axis=2), same.argmax(axis=2), PAD)


def _padded(values: Floats) -> Floats:
    """Return values with a row of NaN after the last."""
    return np.concatenate([values, np.full((1, *values.shape[1:]), np.nan)])
