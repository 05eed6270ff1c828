"""The other side of every wire: sensors, people, broker, hub; written from the facts and not from the drivers."""
