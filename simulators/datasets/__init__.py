"""Real logs: data sets that are fetched, and files in well-known formats that one has already."""

from simulators.datasets.kuairand import EXPOSURES, Exposure, load_kuairand
from simulators.datasets.movielens import load_movielens
from simulators.datasets.obd import (
    BEHAVIOURS,
    CAMPAIGNS,
    Behaviour,
    Campaign,
    bts_action_distribution,
    bts_prior,
    default_cache,
    fetch_obd,
    load_obd,
)
from simulators.datasets.tables import DatasetError

__all__ = [
    "BEHAVIOURS",
    "CAMPAIGNS",
    "EXPOSURES",
    "Behaviour",
    "Campaign",
    "DatasetError",
    "Exposure",
    "bts_action_distribution",
    "bts_prior",
    "default_cache",
    "fetch_obd",
    "load_kuairand",
    "load_movielens",
    "load_obd",
]
