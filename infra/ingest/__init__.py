"""`mesh ingest`: publishes files on input topics as they are, each record as its submitter's Kafka user."""
