"""Policies with neural networks, and how networks trained elsewhere become policies.

A decision never waits for torch: networks are run, and where a policy learns while it serves also
trained, by the compiled loops of `agents.deep.mlp`. Modules that bring torch in are loaded when
they are asked for, by their own names.
"""
