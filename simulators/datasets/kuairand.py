"""Logs of KuaiRand's kind: what a short-video app showed, and what users did with it.

Gao et al. 2022 ("KuaiRand: an unbiased sequential recommendation dataset with randomly exposed
videos", CIKM), whose files one has to fetch oneself. `log_standard_*.csv` is what the app's own
policy showed, and nobody published how likely it was to: its propensities are NaN, and off-policy
evaluation refuses it. `log_random_*.csv` is what was put into the feed in its stead, drawn from a
pool of videos with equal chances: its propensities are one over the number of them, and it is a
data set of off-policy evaluation. Restricted to some of the videos it is one still, drawn from
those with equal chances.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agents.api import Catalogue, Outcomes, keys_of
from simulators.datasets.tables import (
    ITEMS,
    ROWS,
    DatasetError,
    common,
    find,
    log_of,
    most_frequent,
    numbers,
    one_hot,
    read,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from agents.api import Floats

Exposure: TypeAlias = Literal["standard", "random"]
EXPOSURES: tuple[Exposure, ...] = get_args(Exposure)
REWARDS = ("is_click", "long_view", "is_like", "is_follow", "is_comment", "is_forward")

_KEYS = {"user_id": pa.int64(), "video_id": pa.int64(), "time_ms": pa.int64()}
_USER_NUMBERS = ("follow_user_num", "fans_user_num", "friend_user_num", "register_days")
_USER_MARKS = ("user_active_degree", "is_lowactive_period", "is_live_streamer", "is_video_author")
_VIDEO_NUMBERS = ("video_duration",)
_VIDEO_MARKS = ("video_type", "upload_type")
_MOST = 8
"""How many values of a category have a mark of their own: the most frequent."""
_TAGS = 20


def load_kuairand(
    folder: Path | str,
    exposure: Exposure = "standard",
    *,
    reward: str = "is_click",
    rows: int = ROWS,
    items: int = ITEMS,
) -> Outcomes:
    """Return a log of one-slot requests; see the module.

    The context are the tab in which the video was shown and what is known of the user; the item
    features are a video's length, kinds and tags. What there is no file for is left out.

    Parameters
    ----------
    folder : Path or str
        Holds `log_random_*.csv` or `log_standard_*.csv`, and perhaps `user_features_*.csv` and
        `video_features_basic_*.csv`.
    exposure : {"standard", "random"}
    reward : str
        The column that is the reward: one of `REWARDS`.
    rows : int
        How many rows the log has at most, the latest.
    items : int
        How many videos there are, those with the most rows.

    Returns
    -------
    Outcomes
        Candidates are all videos that are kept.

    Raises
    ------
    DatasetError
        If there are no such files, or they do not hold what they must.
    """
    for what, given, known in (
        ("exposure", exposure, EXPOSURES),
        ("reward", reward, REWARDS),
    ):
        if given not in known:
            raise DatasetError(f"KuaiRand has no {what} {given!r}; it has {', '.join(known)}")
    root = Path(folder)
    paths = find(root, [f"log_{exposure}*.csv"], "KuaiRand's logs")
    table = _log(paths, reward, drawn=exposure == "random")
    columns = {name: numbers(table, name, paths[0]) for name in (*_KEYS, reward)}
    videos = most_frequent(columns["video_id"], items)
    kept = np.flatnonzero(np.isin(columns["video_id"], videos))
    kept = kept[np.argsort(columns["time_ms"][kept], kind="stable")][-rows:]
    columns = {name: values[kept] for name, values in columns.items()}
    users, who = np.unique(columns["user_id"], return_inverse=True)
    of_users = _features(root, "user_features*.csv", "user_id", users, _USER_NUMBERS, _USER_MARKS)
    of_videos = _features(
        root, "video_features_basic*.csv", "video_id", videos, _VIDEO_NUMBERS, _VIDEO_MARKS
    )
    tabs = (
        [str(tab) for tab in table["tab"].take(kept).to_pylist()]
        if "tab" in table.column_names
        else []
    )
    context = [of_users[who], one_hot(tabs, common(tabs, _MOST))] if tabs else [of_users[who]]
    chance = 1.0 / len(videos) if exposure == "random" else np.nan
    return log_of(
        f"kuairand {exposure}",
        items=Catalogue.of([str(video) for video in videos.tolist()], of_videos),
        users=keys_of(f"user {user}" for user in columns["user_id"].tolist()),
        context=np.hstack(context).astype(np.float32),
        shown=np.searchsorted(videos, columns["video_id"]),
        rewards=columns[reward] > 0,
        propensities=np.full(len(kept), chance),
        time=columns["time_ms"],
        policy="uniform" if exposure == "random" else "unknown",
    )


def _log(paths: list[Path], reward: str, *, drawn: bool) -> pa.Table:
    """Return the wanted columns of some logs; of random exposures only what was drawn."""
    types = _KEYS | {reward: pa.float64(), "tab": pa.string(), "is_rand": pa.int64()}
    table = pa.concat_tables([read(path, types, optional=("tab", "is_rand")) for path in paths])
    if drawn and "is_rand" in table.column_names:
        table = table.filter(pc.equal(table["is_rand"], 1))
    if not len(table):
        raise DatasetError(f"{paths[0]} holds no row of this kind")
    return table


def _features(
    root: Path,
    pattern: str,
    key: str,
    wanted: NDArray[Any],
    of_numbers: tuple[str, ...],
    of_marks: tuple[str, ...],
) -> Floats:
    """Return what a file says of users or videos: float64 [wanted, F]; nothing without a file."""
    try:
        path = find(root, [pattern], "features")[0]
    except DatasetError:
        return np.zeros((len(wanted), 0))
    types = {key: pa.int64(), **dict.fromkeys(of_numbers, pa.float64())}
    types |= dict.fromkeys((*of_marks, "tag"), pa.string())
    table = read(path, types, optional=[name for name in types if name != key])
    listed = numbers(table, key, path)
    order = np.argsort(listed)
    at = order[np.minimum(np.searchsorted(listed, wanted, sorter=order), len(listed) - 1)]
    told = listed[at] == wanted
    table = table.take(pa.array(at))
    makers: dict[str, Callable[[pa.ChunkedArray], Floats]] = {
        **dict.fromkeys(of_numbers, _logarithm),
        **dict.fromkeys(of_marks, _marks),
        "tag": _tags,
    }
    columns = [make(table[name]) for name, make in makers.items() if name in table.column_names]
    features: Floats = np.hstack([np.zeros((len(wanted), 0)), *columns])
    features[~told] = 0.0
    return features


def _logarithm(column: pa.ChunkedArray) -> Floats:
    values: Floats = column.fill_null(0.0).to_numpy()
    logarithms: Floats = np.log1p(np.maximum(values, 0.0))
    return logarithms[:, None]


def _marks(column: pa.ChunkedArray) -> Floats:
    values = column.to_pylist()
    return one_hot(values, common(values, _MOST))


def _tags(column: pa.ChunkedArray) -> Floats:
    """Return a mark for each of the most frequent tags; a video has several, between commas."""
    told = [(said or "").split(",") for said in column.to_pylist()]
    tags = common([tag for said in told for tag in said if tag], _TAGS)
    marks: Floats = np.array([[float(tag in said) for tag in tags] for said in told])
    return marks.reshape(len(told), len(tags))
