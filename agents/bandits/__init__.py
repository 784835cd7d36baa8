"""Bandits that keep numbers for every item and know nothing of who asks.

What they know of an item is kept under its key (`tallies`), so that items may come, go and come
back. Indices are in `ucb`, posteriors in `thompson` and `beliefs`, adversarial rewards in `exp3`;
`cascade` and `position` read clicks on a slate by a model of how it was looked at.
"""
