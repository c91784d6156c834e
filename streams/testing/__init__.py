"""Steps without a broker: `driver` runs real pipelines on `memory_log`, a log in memory with its clients."""
