"""Rating files and KuaiRand's logs: read as they are, and fitted to what made them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from agents import ScorePolicy, Uniform
from agents.api import RecloopError, key_of
from evaluation import evaluate
from simulators import GAP, DatasetError, LoggedWorld, load_kuairand, load_movielens, returns
from tests.simulators.files import rating_rows, write_kuairand, write_ratings
from tests.simulators.support import seeds

if TYPE_CHECKING:
    from pathlib import Path

    from agents.api import Floats, Outcomes, Requests

ROWS = rating_rows(users=50, items=30, each=20)


@pytest.mark.parametrize("form", ["csv", "dat", "100k"])
def test_every_release_is_read_as_it_is(tmp_path: Path, form: str) -> None:
    """The later half of every user's ratings, in order of time."""
    log = load_movielens(write_ratings(tmp_path, form, ROWS), factors=2)
    late = sorted(
        (second, user, item, stars)
        for who in {row[0] for row in ROWS}
        for user, item, stars, second in sorted(
            (row for row in ROWS if row[0] == who), key=lambda row: row[3]
        )[10:]
    )
    read = sorted(
        zip(
            log.requests.time.tolist(),
            log.requests.users.tolist(),
            np.array(log.requests.items.names)[log.decisions.slates[:, 0]].tolist(),
            log.rewards[:, 0].tolist(),
            strict=True,
        )
    )
    told = [
        (second * 1000, key_of(f"user {user}"), str(item), float(stars >= 4.0))
        for second, user, item, stars in late
    ]
    assert read == sorted(told)
    assert (np.diff(log.requests.time) >= 0).all()
    assert np.isnan(log.decisions.propensities).all()
    genres = log.requests.items.features[:, 4:]
    assert set(np.unique(genres)) == {0.0, 1.0}
    of_all = genres.sum(axis=0)
    assert of_all.max() == len(log.requests.items)  # everything is a drama
    assert sorted(of_all[of_all > 0]) == [10, 10, 30]


def test_features_are_made_of_the_earlier_half_alone(tmp_path: Path) -> None:
    """Turn the later half's stars round: the log changes, the features do not."""
    by_user: dict[int, int] = {}
    turned = []
    for user, item, stars, second in ROWS:
        by_user[user] = by_user.get(user, 0) + 1
        turned.append((user, item, 5.5 - stars if by_user[user] > 10 else stars, second))
    (tmp_path / "b").mkdir()
    one = load_movielens(write_ratings(tmp_path, "csv", ROWS), factors=2)
    other = load_movielens(write_ratings(tmp_path / "b", "csv", turned), factors=2)
    assert (one.rewards != other.rewards).mean() > 0.5
    np.testing.assert_array_equal(one.requests.context, other.requests.context)
    np.testing.assert_array_equal(one.requests.items.features, other.requests.items.features)


@pytest.fixture(scope="module")
def rated(tmp_path_factory: pytest.TempPathFactory) -> LoggedWorld:
    rows = rating_rows(users=60, items=40, each=24)
    folder = write_ratings(tmp_path_factory.mktemp("rated"), "csv", rows)
    return LoggedWorld.fit(load_movielens(folder, factors=2), session_gap=GAP)


def test_a_world_of_ratings_knows_the_tastes_and_the_sessions(rated: LoggedWorld) -> None:
    """Half of the users like what the others don't; everybody rates six films a day."""
    report = rated.fidelity
    assert report is not None
    assert report.gain > 5 * report.gain_se > 0
    assert report.auc > 0.75
    assert report.leaving_gain > 4 * report.leaving_gain_se > 0
    real = {share.name: share.real for share in report.session_lengths}
    simulated = {share.name: share.simulated for share in report.session_lengths}
    assert real["sessions of 6 to 8 requests"] == sum(real.values()) == pytest.approx(120, abs=4)
    assert simulated["sessions of 6 to 8 requests"] > 0.75 * sum(real.values())
    assert sum(simulated.values()) == pytest.approx(sum(real.values()))
    assert [s.name for s in report.clicks_per_request][-1] == "requests with 1 click"
    assert not rated.endless
    totals = returns(rated, rated.bounds()["myopic"], seeds(400))
    assert totals.mean() > 1.2 * returns(rated, rated.bounds()["random"], seeds(400)).mean()


class Liked(ScorePolicy):
    """Shows the video that is clicked most."""

    name = "liked"

    def __init__(self, rate: Floats) -> None:
        super().__init__()
        self.rate = rate

    def scores(self, requests: Requests) -> Floats:
        return self.rate[requests.candidates]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Floats]:
    folder = tmp_path_factory.mktemp("kuairand")
    return folder, write_kuairand(folder)


def test_random_exposures_are_a_data_set_of_off_policy_evaluation(
    app: tuple[Path, Floats],
) -> None:
    folder, rate = app
    log = load_kuairand(folder, "random")
    assert len(log) == 600
    assert (log.decisions.propensities == 1 / 12).all()

    report = evaluate(Liked(rate), [log], estimators=["SNIPS"])
    (snips,) = report.estimates
    assert snips.low <= rate.max() <= snips.high


def test_what_the_app_showed_has_no_known_propensities(app: tuple[Path, Floats]) -> None:
    log: Outcomes = load_kuairand(app[0], reward="long_view", rows=100, items=5)
    assert len(log) == 100
    assert len(log.requests.items) == 5
    assert np.isnan(log.decisions.propensities).all()
    assert log.requests.time.min() > 1_650_000_000_000
    tabs = log.requests.context[:, -2:]
    assert (tabs.sum(axis=1) == 1).all()
    with pytest.raises(RecloopError, match="NaN"):
        evaluate(Uniform(), [log])


def test_features_are_those_of_the_files(app: tuple[Path, Floats]) -> None:
    log = load_kuairand(app[0], "random")
    items = log.requests.items
    assert items.names is not None
    for row, name in enumerate(items.names):
        n = int(name) - 100
        length, normal, movie, *tags = items.features[row].tolist()
        assert length == pytest.approx(np.log1p(1000 * n), rel=1e-6)
        assert (normal, movie) == (1.0, float(n % 3 > 0))
        assert tags == ([1.0, 1.0] if n % 2 else [0.0, 0.0])
    unknown = log.requests.context[log.requests.users == np.uint64(key_of("user 39"))]
    assert (unknown[:, :-2] == 0).all()  # of whom the file says nothing


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        (
            "ratings.csv",
            "userId,movieID,rating,timestamp\n",
            "no column 'movieId': is it 'movieID'",
        ),
        ("ratings.csv", "userId,movieId,rating,timestamp\n1,2,high,3\n", "cannot be read"),
        ("ratings.csv", "userId,movieId,rating,timestamp\n1,2,,3\n", "row 1, column 'rating'"),
        ("ratings.csv", "userId,movieId,rating,timestamp\n1,2,3,3\n", "too few for 8 factors"),
        ("ratings.dat", "1::2::5\n", "cannot be read"),
        (
            "other.csv",
            "",
            "holds no ratings.csv or ratings.dat or u.data, which ratings are: other",
        ),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, file: str, text: str, words: str) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(DatasetError, match=words):
        load_movielens(tmp_path)


def test_kuairands_mistakes_are_said(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no folder"):
        load_kuairand(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"holds no log_standard\*.csv"):
        load_kuairand(tmp_path)
    with pytest.raises(DatasetError, match="no reward 'likes'; it has is_click"):
        load_kuairand(tmp_path, reward="likes")
    (tmp_path / "log_random_x.csv").write_text(
        "user_id,video_id,time_ms,is_click,is_rand\n1,2,3,1,0\n"
    )
    with pytest.raises(DatasetError, match="holds no row of this kind"):
        load_kuairand(tmp_path, "random")
