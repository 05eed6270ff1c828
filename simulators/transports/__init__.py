"""The connections of simulated sensors: faults, timers and remote control, shared by serial and USB."""
