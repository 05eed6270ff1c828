"""The comparison score of two fingerprints: numpy, and the same in machine code."""
