"""Worlds by industry: compositions with plausible parameters, not fitted ones.

docs/worlds/presets.md says of each which parts it has and why these numbers.
"""

from simulators.presets.ecommerce import ecommerce
from simulators.presets.education import education
from simulators.presets.health import health
from simulators.presets.news import news
from simulators.presets.social_feed import social_feed
from simulators.presets.streaming_media import streaming_media
from simulators.presets.travel import travel

INDUSTRIES = (ecommerce, streaming_media, news, education, health, social_feed, travel)

__all__ = ["INDUSTRIES"]
