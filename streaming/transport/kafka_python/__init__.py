"""The transport over kafka-python, the default: pure Python, nothing to compile.

This is the only package that imports the client. What it adds to it: partitions chosen by
`partitioner`, every error turned into one of three kinds with a line for people, every future of a
send looked at before its transaction commits, a cap on what is in flight (the client has none), and
a watchdog over the calls that wait without end.
"""

from streaming.transport.kafka_python.transport import KafkaPythonTransport

__all__ = ["KafkaPythonTransport"]
