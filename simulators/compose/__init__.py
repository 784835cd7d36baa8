"""Worlds that are put together of parts: choice, payoff, dynamics, context, items.

A new world is a short file of scalar equations: docs/worlds/compose.md writes one.
"""

from agents.jit import inlined
from agents.streams import uniform
from simulators.compose.choices import (
    CHOICES,
    cascade,
    dependent_click,
    mnl,
    position_based,
    proportional,
)
from simulators.compose.composition import Composition
from simulators.compose.dynamics import (
    boredom,
    churn,
    drift,
    freshness,
    influence,
    interests,
    returning,
    satiation,
    satisfaction,
)
from simulators.compose.items import Items
from simulators.compose.part import Choice, Number, Part, Payoff
from simulators.compose.payoffs import buying, enjoying, sigma, thrift
from simulators.compose.situation import crossing, devices, hours, regions, season
from simulators.compose.world import ComposedWorld
from simulators.draws import clip, normal

__all__ = [
    "CHOICES",
    "Choice",
    "ComposedWorld",
    "Composition",
    "Items",
    "Number",
    "Part",
    "Payoff",
    "boredom",
    "buying",
    "cascade",
    "churn",
    "clip",
    "crossing",
    "dependent_click",
    "devices",
    "drift",
    "enjoying",
    "freshness",
    "hours",
    "influence",
    "inlined",
    "interests",
    "mnl",
    "normal",
    "position_based",
    "proportional",
    "regions",
    "returning",
    "satiation",
    "satisfaction",
    "season",
    "sigma",
    "thrift",
    "uniform",
]
