"""The kinds of notices between the parent of several fronts and these."""

# from the parent
CONNECTIONS = "connections"  # accepted ones, as descriptors
CLOSE_IDLE = "close idle"  # unused connections, up to a count, since others wait
LAST = "last"  # no further connections follow

# to the parent
READY = "ready"  # the front serves; with the console's URL, where it has the admin port
RELOADED = "reloaded"  # it has read the configuration again
STOPPING = "stopping"  # it closes connections behind their answers from now on
FAILED = "failed"  # it cannot start; with the reason, and whether the settings are wrong
