"""The delivery of events to the hub: outbox on disk, publisher, MQTT link."""
