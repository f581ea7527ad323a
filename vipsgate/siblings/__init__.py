"""What the fronts of one server share: numbers in memory, and messages with descriptors.

A server on a large machine has several front processes behind one port. Each is a whole one, with
renderers and caches of its own; what has to be one for the machine goes through here. :mod:`.table`
has the numbers that each front tells of itself, :mod:`.post` the questions that they ask each
other, :mod:`.claims` who makes what at the moment.

RULE: knows no HTTP, no buckets and no pixels. A server with one front has none of it.
"""
