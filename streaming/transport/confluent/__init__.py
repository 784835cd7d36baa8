"""The transport over confluent-kafka (librdkafka), an extra: ten times as fast, compiled.

This is the only package that imports that client. It keeps time limits of its own, so no watchdog
is needed; positions past the markers of transactions, which it does not tell, are learned from its
end-of-partition events. Readers that are no members of a group assign partitions to themselves.

With the embedded broker there is one limit: that broker never forgets aborted transactions, and
this client cannot be taught to ignore those that ended long ago, so a reader that goes on behind an
abort misses what the same producer commits later. Kafka itself has no such trouble.
"""

from streaming.transport.confluent.transport import ConfluentTransport

__all__ = ["ConfluentTransport"]
