"""The command `fit`: a world saved, a report printed and drawn, and users who leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.image import imread

from simulators import LoggedWorld
from tests.simulators.files import write_kuairand

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands.support import Said


def test_a_world_is_fitted_reported_on_drawn_and_played(
    command: Callable[..., Said], tmp_path: Path
) -> None:
    write_kuairand(tmp_path)
    log, world, picture = f"kuairand-random:{tmp_path}", tmp_path / "world", tmp_path / "fit.png"
    said = command("fit", "--log", log, "--out", world, "--plot", picture, "--json").json
    report = said["fidelity"]
    assert sum(share["real"] for share in report["session_lengths"]) == 80
    assert [share["real"] for share in report["clicks_per_request"]] == [600 - 282, 282]
    assert LoggedWorld.load(world).fidelity is not None
    drawn = imread(picture)
    assert len(np.unique(drawn.reshape(-1, drawn.shape[2]), axis=0)) > 50
    played = command("simulate", "--env", world, "--users", 50, "--json").json["policies"]
    assert 0.5 < played["random"]["return_mean"] < 6
    shown = command("fit", "--log", log, "--out", world, "--session-gap", 5)
    assert shown.code == 0
    for words in ("log-likelihood: the world", "position 0", "sessions of 4 to 5", "requests with"):
        assert words in shown.out
