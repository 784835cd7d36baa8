"""Ways to move bytes: one protocol, and the clients that implement it."""
