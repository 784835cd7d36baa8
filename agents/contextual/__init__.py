"""Bandits that know who asks: hybrid and logistic regressions, networks, ensembles of River models.

The plain linear ones are `agents.linear`, on whose mathematics (`agents.ridge`) these stand.
"""
