"""What the front processes of one server share: a scoreboard in shared memory, and messages.

A server on a large machine has several front processes behind one port. Each has renderers and
caches of its own; they coordinate with each other through this package.
:mod:`.scoreboard` is shared memory in which each front publishes its numbers, :mod:`.channel`
carries calls and notices between fronts, :mod:`.claims` is single-flight across fronts, and
:mod:`.balance` decides which front gets the next connection.

RULE: knows no HTTP, no buckets and no pixels. A server with one front uses none of it.
"""
