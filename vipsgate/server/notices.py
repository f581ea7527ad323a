"""The kinds of notices between the fronts of a server and their parent."""

# from the parent
CONNECTIONS = "connections"  # accepted connections, as descriptors
CLOSE_IDLE = "close idle"  # close up to a number of unused connections, as others wait
LAST = "last"  # no further connections follow

# to the parent
READY = "ready"  # the front serves; with the console's URL if it has the admin port
RELOADED = "reloaded"  # the front has read the configuration again
STOPPING = "stopping"  # the front closes connections after their answers from now on
FAILED = "failed"  # the front cannot start; with the reason, and whether the settings are wrong
