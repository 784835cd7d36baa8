"""Worlds of users: who they are, how they choose, how they change. Rollouts and logs."""
