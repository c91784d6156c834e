"""Run steps without a broker: `driver` feeds the real pipeline, `memory_log` is the log and the clients it runs on."""
