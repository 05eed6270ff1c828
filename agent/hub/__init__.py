"""From the disk to the hub: outbox, publisher, MQTT link."""
