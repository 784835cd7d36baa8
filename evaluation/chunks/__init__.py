"""What estimators read: chunks of rounds, of slates, of trajectories, checked before use."""
