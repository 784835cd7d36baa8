"""The transport over confluent-kafka (librdkafka), an extra: ten times as fast, compiled.

This is the only package that imports that client. It keeps time limits of its own, so no watchdog
is needed; positions past the markers of transactions, which it does not tell, are learned from its
end-of-partition events. Readers that are no members of a group assign partitions to themselves.
"""

from streaming.transport.confluent.transport import ConfluentTransport

__all__ = ["ConfluentTransport"]
