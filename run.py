"""The command line of recloop."""
