"""Worlds by industry: compositions with plausible parameters, not fitted ones.

docs/worlds/presets.md says of each which parts it has and why these numbers.
"""

from simulators.presets.ecommerce import ecommerce
from simulators.presets.news import news

INDUSTRIES = (ecommerce, news)

__all__ = ["INDUSTRIES"]
