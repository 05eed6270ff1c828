"""A simulated hub and a real MQTT broker."""
