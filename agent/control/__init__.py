"""The control socket: what the command line asks of the daemon."""
