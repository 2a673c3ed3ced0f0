"""The event bus on Apache Pulsar."""
