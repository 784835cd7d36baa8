"""Worlds of simulated users: who they are, how they choose, how they change. Rollouts and logs."""

from simulators.bounds import Myopic, Privileged
from simulators.channel import Channel
from simulators.checks import WorldCheckError, check_world
from simulators.clicks import ClickModel, Recipe
from simulators.datasets import (
    DatasetError,
    bts_action_distribution,
    bts_prior,
    fetch_obd,
    load_kuairand,
    load_movielens,
    load_obd,
)
from simulators.fidelity import Bin, Fidelity, Share
from simulators.frames import Frame, Frames
from simulators.impressions import FitError
from simulators.lanes import first_fault
from simulators.leaving import GAP, Sessions, hazards
from simulators.logged import LoggedWorld
from simulators.logs import Log, LogError, LogWriter, read_log, write_log
from simulators.recogym import RecoGym
from simulators.recording import LogRecorder, Recorder
from simulators.records import Feedback, Response, Signal, WorldError
from simulators.recsim import InterestEvolution, InterestExploration, LongTermSatisfaction
from simulators.registry import make_world, world_names, world_options
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
from simulators.sardine import Sardine
from simulators.session import Session
from simulators.world import BatchedWorld, World

__all__ = [
    "GAP",
    "BatchedWorld",
    "Bin",
    "Channel",
    "ClickModel",
    "DatasetError",
    "Estimate",
    "Feedback",
    "Fidelity",
    "FitError",
    "Frame",
    "Frames",
    "InterestEvolution",
    "InterestExploration",
    "Log",
    "LogError",
    "LogRecorder",
    "LogWriter",
    "LoggedWorld",
    "LongTermSatisfaction",
    "Myopic",
    "Privileged",
    "Recipe",
    "RecoGym",
    "Recorder",
    "Response",
    "Sardine",
    "Session",
    "Sessions",
    "Share",
    "Signal",
    "Standing",
    "Summary",
    "World",
    "WorldCheckError",
    "WorldError",
    "bts_action_distribution",
    "bts_prior",
    "check_world",
    "fetch_obd",
    "first_fault",
    "hazards",
    "load_kuairand",
    "load_movielens",
    "load_obd",
    "make_world",
    "read_log",
    "returns",
    "rollout",
    "score",
    "standings",
    "summarise",
    "world_names",
    "world_options",
    "write_log",
]
