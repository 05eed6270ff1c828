"""What the kiosk says to the hub, and the JSON Schemas of it."""
