"""Simulates everything around the agent: sensors, people, broker and hub. Shares no code with the drivers."""
