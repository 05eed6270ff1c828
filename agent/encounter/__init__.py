"""The path from a presentation to a decision and its event."""
