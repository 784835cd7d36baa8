"""Episodes of Minari's and d3rlpy's kinds: arrays of observations, actions, rewards and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from agents.streams import derive
from evaluation.chunks.checks import rows_in_words
from evaluation.chunks.episodes import Acting, Episodes, chances_of
from evaluation.importers.records import LogFormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import ArrayLike, NDArray

    from agents.api import Floats


class EpisodeData(Protocol):
    """What Minari gives of an episode of T steps; see its `EpisodeData`."""

    observations: Any
    actions: Any
    rewards: Any
    terminations: Any
    infos: Mapping[str, Any]


def from_minari(
    episodes: Iterable[EpisodeData], logged: str | Acting, *, first: int = 0
) -> Episodes:
    """Return Minari's episodes: `dataset.iterate_episodes()`, or a list of them.

    Parameters
    ----------
    episodes : iterable
        Each with T + 1 observations (dicts of arrays are flattened, in the order of their names), T
        discrete actions, rewards and terminations.
    logged : str or callable
        The name under which `infos` tells the probability of each action, or the policy that acted.
    first : int
        The number of the first episode: not 0 where a log is read in several parts.

    Raises
    ------
    LogFormatError
        Naming the episode, counted from `first`, and what does not fit.
    """
    parts = [_episode(episode, at, logged) for at, episode in enumerate(episodes, first)]
    if not parts:
        raise LogFormatError("there is no episode to read")
    if len({part.states.shape[1] for part in parts}) > 1:
        raise LogFormatError("observations are not of the same width in all episodes")
    names = ("keys", "states", "actions", "reward", "logged", "following", "ended")
    return Episodes(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _episode(episode: EpisodeData, at: int, logged: str | Acting) -> Episodes:
    where = f"episode {at}"
    actions = _actions(episode.actions, where)
    n = len(actions)
    observations = _table(episode.observations, where)
    if len(observations) != n + 1:
        raise LogFormatError(
            f"{where} has {n} actions, so there must be {n + 1} observations, the last one after "
            f"it, not {len(observations)}"
        )
    if isinstance(logged, str):
        if logged not in episode.infos:
            raise LogFormatError(f"{where} has no {logged!r} in infos, only {[*episode.infos]}")
        given = _column(np.asarray(episode.infos[logged]).ravel()[:n], logged, n, where)
    else:
        given = _stated(logged, observations[:n], actions)
    return Episodes(
        keys=derive(np.zeros(n, np.uint64), np.full(n, at, np.uint64)),
        states=observations[:n],
        actions=actions,
        reward=_column(episode.rewards, "rewards", n, where),
        logged=given,
        following=observations[1:],
        ended=_column(episode.terminations, "terminations", n, where).astype(np.bool_),
    )


def from_transitions(
    observations: ArrayLike,
    actions: ArrayLike,
    rewards: ArrayLike,
    terminals: ArrayLike,
    timeouts: ArrayLike | None = None,
    *,
    logged: Floats | Acting,
    first: int = 0,
) -> Episodes:
    """Return d3rlpy's flat arrays as episodes: n steps, those of an episode one after the other.

    Parameters
    ----------
    observations : float [n, ...]
        Seen before acting. What was seen after a time limit is in no such array: it is unknown.
    actions, rewards : [n] or [n, 1]
        Discrete actions.
    terminals, timeouts : bool [n]
        Where an episode ended, and where it was cut off.
    logged : float [n] or callable
        The probability of each action, or the policy that acted.
    first : int
        The number of the first episode: not 0 where a log is read in several parts.

    Raises
    ------
    LogFormatError
        Naming what does not fit, or the rows, counted from 0, where.
    """
    where = "the log"
    done = _actions(actions, where)
    n = len(done)
    states = _table(observations, where)
    if len(states) != n:
        raise LogFormatError(f"{where} has {n} actions, but {len(states)} observations")
    ended = _column(terminals, "terminals", n, where).astype(np.bool_)
    cut = np.zeros(n, np.bool_)
    if timeouts is not None:
        cut = _column(timeouts, "timeouts", n, where).astype(np.bool_) & ~ended
    last = ended | cut
    if n and not last[-1]:
        raise LogFormatError(f"the last step, row {n - 1}, neither ends nor cuts off an episode")
    following = np.full_like(states, np.nan)
    following[:-1] = states[1:]
    following[last] = np.nan
    episode = (first + np.cumsum(last) - last).astype(np.uint64)
    if callable(logged):
        given = _stated(logged, states, done)
    else:
        given = _column(logged, "logged", n, where)
    return Episodes(
        keys=derive(np.zeros(n, np.uint64), episode),
        states=states,
        actions=done,
        reward=_column(rewards, "rewards", n, where),
        logged=given,
        following=following,
        ended=ended,
    )


def _stated(logging: Acting, states: NDArray[np.float32], actions: NDArray[np.int64]) -> Floats:
    chances = chances_of(logging, states)
    beyond = np.flatnonzero(actions >= chances.shape[1])
    if len(beyond):
        raise LogFormatError(
            f"the logging policy knows {chances.shape[1]} actions, but there are others in "
            f"{rows_in_words(beyond, 0)}"
        )
    return np.asarray(chances[np.arange(len(actions)), actions])


def _actions(given: Any, where: str) -> NDArray[np.int64]:
    found = np.asarray(given)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise LogFormatError(
            f"{where}: actions must be whole numbers [T], not {found.dtype} {found.shape}: "
            "continuous actions can't be weighed one by one"
        )
    if (found < 0).any():
        raise LogFormatError(f"{where}: actions are negative in {_rows(found < 0)}")
    return found.astype(np.int64)


def _table(given: Any, where: str) -> NDArray[np.float32]:
    if isinstance(given, dict) and given:  # flattened as Gymnasium does it, in the order of names
        return np.hstack([_table(given[name], where) for name in sorted(given)])
    if isinstance(given, dict | tuple):
        raise LogFormatError(f"{where}: observations are of several parts: flatten them first")
    found = np.asarray(given)
    if found.dtype.kind not in "fiub" or not found.ndim:
        raise LogFormatError(f"{where}: observations must be numbers, not {found.dtype}")
    table = found.reshape(len(found), -1).astype(np.float32)
    if not np.isfinite(table).all():
        wrong = _rows(np.asarray(~np.isfinite(table).all(axis=1)))
        raise LogFormatError(f"{where}: observations are NaN or infinite in {wrong}")
    return table


def _column(given: Any, name: str, n: int, where: str) -> Floats:
    found = np.asarray(given)
    if found.size != n or found.dtype.kind not in "fiub":
        raise LogFormatError(
            f"{where}: {name} must be {n} numbers, not {found.dtype} {found.shape}"
        )
    return found.reshape(n).astype(np.float64)


def _rows(where: NDArray[np.bool_]) -> str:
    return rows_in_words(np.flatnonzero(where), 0)
