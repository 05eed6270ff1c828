"""Everything that touches hardware: one file a sensor, the SENSORS table, the transports under them."""
