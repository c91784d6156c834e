"""`mesh ingest`: files are carried into `in.` topics as they came, each as its own system's user."""
