"""A newcomer's policy: what anybody writes first."""

import numpy as np

from agents import Requests, ScorePolicy


class Mine(ScorePolicy):
    """Shows what is most like the user."""

    name = "mine"

    def scores(self, requests: Requests) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        likeness = requests.items.features[:, 0].astype(np.float64)
        return likeness[requests.candidates] * requests.context[:, :1]
