"""The comparison score of two fingerprints: in numpy, and the same in compiled code."""
