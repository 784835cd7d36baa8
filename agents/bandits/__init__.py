"""Bandits that keep sums for every item and know nothing of who asks.

What they know of an item is kept under its key (`items`), so that items may come, go and come back.
"""
