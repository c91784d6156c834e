"""`mesh ingest`: publishes files on input topics as they are, each record as the user of its system."""
