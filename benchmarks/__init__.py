"""What the house can do, measured: every figure of the documents is one command here."""
