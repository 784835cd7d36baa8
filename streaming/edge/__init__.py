"""The serving edge: a small HTTP service in front of the live loop.

It materialises the topic `recommendations`, so that a page asks for a user's slate and has it in a
dictionary's time; it takes feedback in by HTTP for those who do not speak Kafka; and it says why
a slate is what it is. It decides nothing for users whom the worker knows.
"""
