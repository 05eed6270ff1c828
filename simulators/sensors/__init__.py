"""The table of simulated sensors, and what they share."""
