"""Small files in well-known formats, made by a known law."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from agents.api import Floats

GENRES = ("Action", "Comedy", "Drama")


def rating_rows(
    users: int, items: int, each: int, seed: int = 0
) -> list[tuple[int, int, float, int]]:
    """Ratings (user, item, stars, second): of two tastes, which users and items have or not.

    A user comes on four days, and rates a quarter of theirs each day, a minute apart.
    """
    rng = np.random.default_rng(seed)
    taste, kind = rng.choice([-1, 1], size=users), rng.choice([-1, 1], size=items)
    rows = []
    for user in range(users):
        days = np.sort(rng.choice(1000, 4, replace=False))
        for n, item in enumerate(rng.permutation(items)[:each].tolist()):
            stars = np.clip(
                np.round(2 * (3.2 + 1.2 * taste[user] * kind[item] + rng.normal())) / 2, 0.5, 5
            )
            second = 10**9 + int(days[n * 4 // each]) * 86_400 + 60 * n
            rows.append((user + 1, 10 * item + 10, float(stars), second))
    return rows


def write_ratings(folder: Path, form: str, rows: list[tuple[int, int, float, int]]) -> Path:
    """Write them as a release of MovieLens does: "csv", "dat" or "100k"."""
    items = sorted({row[1] for row in rows})
    genre = {item: GENRES[n % 3] for n, item in enumerate(items)}
    if form == "csv":
        said = ["userId,movieId,rating,timestamp", *(",".join(map(str, row)) for row in rows)]
        films = ["movieId,title,genres"]
        films += [f'{item},"A film, the {item}th (1990)",{genre[item]}|Drama' for item in items]
        (folder / "ratings.csv").write_text("\n".join(said) + "\n")
        (folder / "movies.csv").write_text("\n".join(films) + "\n")
    elif form == "dat":
        said = ["::".join(map(str, row)) for row in rows]
        films = [f"{item}::Film é {item}::{genre[item]}|Drama" for item in items]
        (folder / "ratings.dat").write_text("\n".join(said) + "\n")
        (folder / "movies.dat").write_text("\n".join(films) + "\n", encoding="latin-1")
    else:
        place = {"Action": 1, "Comedy": 5, "Drama": 8}
        films = []
        for item in items:
            marks = ["0"] * 19
            for g in {genre[item], "Drama"}:
                marks[place[g]] = "1"
            films.append(
                "|".join([str(item), f"Film é {item}", "01-Jan-1990", "", "http://x", *marks])
            )
        (folder / "u.data").write_text("\n".join("\t".join(map(str, r)) for r in rows) + "\n")
        (folder / "u.item").write_text("\n".join(films) + "\n", encoding="latin-1")
    return folder


def write_kuairand(folder: Path, rows: int = 600, videos: int = 12, seed: int = 0) -> Floats:
    """Write a log of random exposures and one of the app's own; return every video's click rate."""
    rng = np.random.default_rng(seed)
    rate = rng.uniform(0.1, 0.8, size=videos)
    head = "user_id,video_id,date,hourmin,time_ms,is_click,is_like,long_view,is_rand,tab"
    for name, weights, drawn in (
        ("log_random_4_22_to_5_08_pure.csv", np.ones(videos), 1),
        ("log_standard_4_08_to_4_21_pure.csv", rate, 0),
    ):
        lines = [head]
        for n in range(rows):
            video = int(rng.choice(videos, p=weights / weights.sum()))
            click = int(rng.random() < rate[video])
            user, time = n % 40, 1_650_000_000_000 + (n // 40) * 60_000 + (n // 200) * 86_400_000
            told = (user, 100 + video, 20220422, 1200, time, click, 0, click, drawn, n % 2)
            lines.append(",".join(map(str, told)))
        (folder / name).write_text("\n".join(lines) + "\n")
    users = ["user_id,user_active_degree,is_video_author,fans_user_num,register_days"]
    users += [
        f"{n},{'full_active' if n % 2 else 'UNKNOWN'},{n % 2},{n * n},{100 + n}" for n in range(39)
    ]
    (folder / "user_features_pure.csv").write_text("\n".join(users) + "\n")
    tags = ("", '"5,9"')
    films = ["video_id,author_id,video_type,upload_type,video_duration,tag"]
    films += [
        f"{100 + n},7,NORMAL,{'Kmovie' if n % 3 else ''},{1000 * n},{tags[n % 2]}"
        for n in range(videos)
    ]
    (folder / "video_features_basic_pure.csv").write_text("\n".join(films) + "\n")
    return rate
