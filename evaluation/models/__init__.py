"""Models of rewards and of values: what DM, DR and their kin predict with."""
