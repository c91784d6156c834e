"""Programs that `mesh client python` copies: they use confluent-kafka and fastavro, and nothing of the mesh."""
