"""Offline policy evaluation: estimators, intervals and verdicts, pure functions over arrays.

`evaluate` and `evaluate_slates` turn a log into a report, `promote` compares two policies on one.
Names are loaded when they are first used: scikit-learn and Matplotlib stand behind some of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evaluation.accumulate import Accumulator
    from evaluation.chunks.checks import FaultyLogError
    from evaluation.chunks.episodes import Episodes
    from evaluation.chunks.pairs import Pair
    from evaluation.chunks.rounds import Rounds
    from evaluation.chunks.slates import Chances, Slates
    from evaluation.chunks.trajectories import EpisodeError, Steps
    from evaluation.estimators.names import NAMES, UnknownEstimatorError, named
    from evaluation.estimators.paired import compared
    from evaluation.estimators.sequential import SEQUENTIAL_ESTIMATORS
    from evaluation.estimators.slates import SLATE_ESTIMATORS
    from evaluation.evidence import Evidence, Judgement, judge_pair, stated_pair
    from evaluation.gate import Gate, promote
    from evaluation.importers.coba import from_coba
    from evaluation.importers.episodes import from_minari, from_transitions
    from evaluation.importers.obp import from_obp
    from evaluation.importers.records import Imported, LogFormatError
    from evaluation.importers.vw import read_dsjson
    from evaluation.intervals.bernstein import bernstein
    from evaluation.intervals.guaranteed import INTERVALS
    from evaluation.intervals.sequences import ConfidenceSequence, Promise, PromiseError
    from evaluation.intervals.watching import watch, watch_apart
    from evaluation.models.cross_fitted import CrossFitted, ModelError, RewardModel
    from evaluation.models.fitted_q import FittedQ, FittedQError
    from evaluation.models.progressive import Progressive
    from evaluation.passes import SlateError
    from evaluation.plots import forest
    from evaluation.ranking.drift import Dated, drift
    from evaluation.ranking.exposure import Exposure, diversity
    from evaluation.ranking.lists import Ranked, Segmented, UnknownMetricError, metrics
    from evaluation.ranking.scores import Scores
    from evaluation.rejection import Replay, replay
    from evaluation.report import Disagreement, Estimate, Report
    from evaluation.rounds import Reader, evaluate
    from evaluation.shards import ShardError, Shards
    from evaluation.slates import SlateReader, evaluate_slates
    from evaluation.targets import Clusters, Distribution, Target, target_of
    from evaluation.verdict import Diagnostics, Trust, Verdict

__all__ = [
    "INTERVALS",
    "NAMES",
    "SEQUENTIAL_ESTIMATORS",
    "SLATE_ESTIMATORS",
    "Accumulator",
    "Chances",
    "Clusters",
    "ConfidenceSequence",
    "CrossFitted",
    "Dated",
    "Diagnostics",
    "Disagreement",
    "Distribution",
    "EpisodeError",
    "Episodes",
    "Estimate",
    "Evidence",
    "Exposure",
    "FaultyLogError",
    "FittedQ",
    "FittedQError",
    "Gate",
    "Imported",
    "Judgement",
    "LogFormatError",
    "ModelError",
    "Pair",
    "Progressive",
    "Promise",
    "PromiseError",
    "Ranked",
    "Reader",
    "Replay",
    "Report",
    "RewardModel",
    "Rounds",
    "Scores",
    "Segmented",
    "ShardError",
    "Shards",
    "SlateError",
    "SlateReader",
    "Slates",
    "Steps",
    "Target",
    "Trust",
    "UnknownEstimatorError",
    "UnknownMetricError",
    "Verdict",
    "bernstein",
    "compared",
    "diversity",
    "drift",
    "evaluate",
    "evaluate_slates",
    "forest",
    "from_coba",
    "from_minari",
    "from_obp",
    "from_transitions",
    "judge_pair",
    "metrics",
    "named",
    "promote",
    "read_dsjson",
    "replay",
    "stated_pair",
    "target_of",
    "watch",
    "watch_apart",
]

_HOME = {
    "INTERVALS": "intervals.guaranteed",
    "NAMES": "estimators.names",
    "SEQUENTIAL_ESTIMATORS": "estimators.sequential",
    "SLATE_ESTIMATORS": "estimators.slates",
    "Accumulator": "accumulate",
    "Chances": "chunks.slates",
    "Clusters": "targets",
    "ConfidenceSequence": "intervals.sequences",
    "CrossFitted": "models.cross_fitted",
    "Dated": "ranking.drift",
    "Diagnostics": "verdict",
    "Disagreement": "report",
    "Distribution": "targets",
    "EpisodeError": "chunks.trajectories",
    "Episodes": "chunks.episodes",
    "Estimate": "report",
    "Exposure": "ranking.exposure",
    "FaultyLogError": "chunks.checks",
    "FittedQ": "models.fitted_q",
    "FittedQError": "models.fitted_q",
    "Evidence": "evidence",
    "Gate": "gate",
    "Imported": "importers.records",
    "Judgement": "evidence",
    "LogFormatError": "importers.records",
    "ModelError": "models.cross_fitted",
    "Pair": "chunks.pairs",
    "Progressive": "models.progressive",
    "Promise": "intervals.sequences",
    "PromiseError": "intervals.sequences",
    "Ranked": "ranking.lists",
    "Reader": "rounds",
    "Replay": "rejection",
    "Report": "report",
    "RewardModel": "models.cross_fitted",
    "Rounds": "chunks.rounds",
    "Scores": "ranking.scores",
    "Segmented": "ranking.lists",
    "ShardError": "shards",
    "Shards": "shards",
    "SlateError": "passes",
    "SlateReader": "slates",
    "Slates": "chunks.slates",
    "Steps": "chunks.trajectories",
    "Target": "targets",
    "Trust": "verdict",
    "UnknownEstimatorError": "estimators.names",
    "UnknownMetricError": "ranking.lists",
    "Verdict": "verdict",
    "bernstein": "intervals.bernstein",
    "compared": "estimators.paired",
    "diversity": "ranking.exposure",
    "drift": "ranking.drift",
    "evaluate": "rounds",
    "evaluate_slates": "slates",
    "forest": "plots",
    "from_coba": "importers.coba",
    "from_minari": "importers.episodes",
    "from_obp": "importers.obp",
    "from_transitions": "importers.episodes",
    "judge_pair": "evidence",
    "metrics": "ranking.lists",
    "named": "estimators.names",
    "promote": "gate",
    "stated_pair": "evidence",
    "read_dsjson": "importers.vw",
    "replay": "rejection",
    "target_of": "targets",
    "watch": "intervals.watching",
    "watch_apart": "intervals.watching",
}
"""The module that each public name lives in."""


def __getattr__(name: str) -> object:
    """Import a public name's module when the name is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'evaluation' has no attribute {name!r}")
    return getattr(import_module(f"evaluation.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
