"""The live loop: events in, outcomes joined, policies updated, recommendations out."""
