"""Worlds of simulated users: who they are, how they choose, how they change. Rollouts and logs."""

from simulators.bounds import Myopic
from simulators.clicks import ClickModel, Recipe
from simulators.datasets import (
    DatasetError,
    bts_action_distribution,
    bts_prior,
    fetch_obd,
    load_obd,
)
from simulators.fidelity import Bin, Fidelity
from simulators.impressions import FitError
from simulators.interest_evolution import InterestEvolution
from simulators.logged import LoggedWorld
from simulators.logs import Log, LogError, LogWriter, read_log, write_log
from simulators.records import Feedback, Response, Signal, WorldError
from simulators.rollout import (
    Estimate,
    Standing,
    Summary,
    returns,
    rollout,
    score,
    standings,
    summarise,
)
from simulators.world import BatchedWorld, World, first_fault

__all__ = [
    "BatchedWorld",
    "Bin",
    "ClickModel",
    "DatasetError",
    "Estimate",
    "Feedback",
    "Fidelity",
    "FitError",
    "InterestEvolution",
    "Log",
    "LogError",
    "LogWriter",
    "LoggedWorld",
    "Myopic",
    "Recipe",
    "Response",
    "Signal",
    "Standing",
    "Summary",
    "World",
    "WorldError",
    "bts_action_distribution",
    "bts_prior",
    "fetch_obd",
    "first_fault",
    "load_obd",
    "read_log",
    "returns",
    "rollout",
    "score",
    "standings",
    "summarise",
    "write_log",
]
