"""The events that the kiosk sends to the hub, and their JSON Schemas."""
