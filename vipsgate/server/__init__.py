"""The running server: composed, started, watched and ended in order.

:mod:`.main` runs one front with the services of :mod:`.compose`, :mod:`.app` is the conductor of
the public port, :mod:`.admin` the admin port. Several fronts have a :mod:`.parent`, which forks
them (:mod:`.processes`, :mod:`.child`) and accepts their connections (:mod:`.acceptor`).

RULE: composes and runs; only :mod:`vipsgate.cli` and :mod:`vipsgate.emulator` import it.
"""
