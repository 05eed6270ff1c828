"""The control socket: how the command line sends requests to the daemon."""
