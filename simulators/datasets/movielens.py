"""Rating files of MovieLens' kind: who rated which item how high, and when.

Such a file is no log of what was shown. Nobody knows what else a user was offered, nor how likely
what they rated was to reach them: a rating is read as a request of one slot, its reward is whether
the user liked the item, its propensity is unknown (NaN), and off-policy evaluation refuses it. A
world that is fitted to it says how likely a user likes what is shown to them, were it one of the
items that they rate.

The features are made of the ratings themselves, of the earlier half of every user's, so that the
later half, which is the log, says honestly how much they are worth: for users and items the
factors of a truncated singular value decomposition of what remains of the ratings when the means
are taken off, the means, and how many ratings there are; for items their genres, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from scipy import sparse
from scipy.sparse.linalg import svds

from agents.api import Catalogue, Outcomes, keys_of
from simulators.datasets.tables import (
    ITEMS,
    ROWS,
    DatasetError,
    find,
    log_of,
    most_frequent,
    numbers,
    read,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats, Rows

FACTORS = 8
LIKED = 4.0
SHRINK = 5.0
"""How many ratings of the mean a user and an item are thought to have given beside their own."""

GENRES_100K = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)


class _Ratings(NamedTuple):
    user: Rows
    item: Rows
    rating: Floats
    time: Rows

    def take(self, index: Rows) -> _Ratings:
        """Return these of them."""
        return _Ratings(self.user[index], self.item[index], self.rating[index], self.time[index])


class _Files(NamedTuple):
    """How the files of one release are written."""

    ratings: str
    items: str
    delimiter: str
    item_delimiter: str
    names: tuple[str, ...] | None
    item_names: tuple[str, ...] | None


_COLUMNS, _ITEM_COLUMNS = (
    ("userId", "movieId", "rating", "timestamp"),
    ("movieId", "title", "genres"),
)
_FLAGS = ("movieId", "title", "released", "video", "url", *GENRES_100K)
FORMATS = (
    _Files("ratings.csv", "movies.csv", ",", ",", None, None),
    _Files("ratings.dat", "movies.dat", "::", "::", _COLUMNS, _ITEM_COLUMNS),
    _Files("u.data", "u.item", "\t", "|", _COLUMNS, _FLAGS),
)


def load_movielens(
    folder: Path | str,
    *,
    liked: float = LIKED,
    rows: int = ROWS,
    items: int = ITEMS,
    factors: int = FACTORS,
) -> Outcomes:
    """Return the later half of every user's ratings as a log of one-slot requests; see the module.

    Parameters
    ----------
    folder : Path or str
        Holds `ratings.csv` and `movies.csv` (25M, latest), `ratings.dat` and `movies.dat` (1M, 10M)
        or `u.data` and `u.item` (100K). The items' file may be missing.
    liked : float
        From which rating on the reward is 1.
    rows : int
        How many ratings the log has at most; as many make the features. They are the latest ones.
    items : int
        How many items there are, those with the most ratings.
    factors : int
        How many factors the decomposition has.

    Returns
    -------
    Outcomes
        Candidates are all items, propensities NaN.

    Raises
    ------
    DatasetError
        If there are no such files, or too few ratings in them.
    """
    root = Path(folder)
    files = [form.ratings for form in FORMATS]
    path = find(root, files, "ratings")[0]
    form = FORMATS[files.index(path.name)]
    ratings = _latest(_ratings(path, form), 2 * rows, items)
    known, users = np.unique(ratings.item), np.unique(ratings.user)
    if len(known) <= factors or len(users) <= factors:
        raise DatasetError(
            f"{path} holds {len(ratings.time)} ratings of {len(known)} items by {len(users)} "
            f"users: too few for {factors} factors"
        )
    item, user = np.searchsorted(known, ratings.item), np.searchsorted(users, ratings.user)
    early = _early(user)
    made_of = ratings._replace(user=user, item=item).take(np.flatnonzero(early))
    of_users, of_items = _described(made_of, len(users), len(known), factors)
    names = [str(number) for number in known.tolist()]
    genres = _genres(path.parent / form.items, form, known)
    late = np.flatnonzero(~early)
    return log_of(
        f"movielens {path.name}",
        items=Catalogue.of(names, np.hstack([of_items, genres])),
        users=keys_of(f"user {number}" for number in ratings.user[late].tolist()),
        context=of_users[user[late]].astype(np.float32),
        shown=item[late],
        rewards=ratings.rating[late] >= liked,
        propensities=np.full(len(late), np.nan),
        time=ratings.time[late],
        policy="unknown",
    )


def _ratings(path: Path, form: _Files) -> _Ratings:
    types = dict(zip(_COLUMNS, (pa.int64(), pa.int64(), pa.float64(), pa.float64()), strict=True))
    table = read(path, types, delimiter=form.delimiter, names=form.names)
    user, item, rating, time = (numbers(table, name, path) for name in _COLUMNS)
    return _Ratings(user, item, rating, (time * 1000).astype(np.int64))


def _latest(ratings: _Ratings, rows: int, items: int) -> _Ratings:
    """Return the latest ratings of the items with the most, in order of time."""
    kept = np.flatnonzero(np.isin(ratings.item, most_frequent(ratings.item, items)))
    kept = kept[np.argsort(ratings.time[kept], kind="stable")][-rows:]
    return ratings.take(kept)


def _early(user: Rows) -> NDArray[np.bool_]:
    """Return which rows, in order of time, are in the earlier half of their user's: bool [n]."""
    order = np.argsort(user, kind="stable")
    first = np.searchsorted(user[order], user[order], "left")
    count = np.searchsorted(user[order], user[order], "right") - first
    early = np.empty(len(user), dtype=np.bool_)
    early[order] = np.arange(len(user)) - first < count // 2
    return early


def _described(ratings: _Ratings, users: int, items: int, factors: int) -> tuple[Floats, Floats]:
    """Return the features that ratings make: float64 [users, factors + 2], [items, factors + 2]."""
    rest = ratings.rating - ratings.rating.mean()
    of_items, item_counts = _means(ratings.item, rest, items)
    rest = rest - of_items[ratings.item]
    of_users, user_counts = _means(ratings.user, rest, users)
    rest = rest - of_users[ratings.user]
    table = sparse.csr_array((rest, (ratings.user, ratings.item)), shape=(users, items))
    left, sizes, right = svds(table, k=factors, v0=np.ones(min(table.shape)))
    left, right = left * np.sqrt(sizes), right.T * np.sqrt(sizes)
    return (
        np.column_stack([left, of_users, np.log1p(user_counts)]),
        np.column_stack([right, of_items, np.log1p(item_counts)]),
    )


def _means(of: Rows, values: Floats, count: int) -> tuple[Floats, Floats]:
    """Return the means by number, drawn towards 0 where there is little, and how much there is."""
    counts = np.bincount(of, minlength=count).astype(np.float64)
    return np.bincount(of, weights=values, minlength=count) / (counts + SHRINK), counts


def _genres(path: Path, form: _Files, known: NDArray[Any]) -> Floats:
    """Return a mark for every genre of every item: float64 [N, genres]; none without the file."""
    if not path.is_file():
        return np.zeros((len(known), 0))
    flags = form.item_names is not None and len(form.item_names) > len(_ITEM_COLUMNS)
    wanted = {"movieId": pa.int64()} | (
        dict.fromkeys(GENRES_100K, pa.float64()) if flags else {"genres": pa.string()}
    )
    encoding = "utf8" if form.item_names is None else "latin-1"
    table = read(
        path, wanted, delimiter=form.item_delimiter, names=form.item_names, encoding=encoding
    )
    place = {number: row for row, number in enumerate(known.tolist())}
    if flags:
        listed = np.column_stack([numbers(table, genre, path) for genre in GENRES_100K])
    else:
        told = [(said or "").split("|") for said in table["genres"].to_pylist()]
        genres = sorted({genre for said in told for genre in said if genre and genre[0] != "("})
        listed = np.array([[float(genre in said) for genre in genres] for said in told])
    marks = np.zeros((len(known), listed.shape[1]))
    for row, number in enumerate(numbers(table, "movieId", path).tolist()):
        if number in place:
            marks[place[number]] = listed[row]
    return marks
