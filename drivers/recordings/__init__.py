"""Recordings of the traffic of a sensor: made by recording, played back to the driver by playback."""
