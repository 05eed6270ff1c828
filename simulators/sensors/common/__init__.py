"""What the simulated sensors share: the rig, command line options, the finger on a serial module."""
