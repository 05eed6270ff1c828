"""What the wires of simulated sensors share: faults, time and remote control."""
