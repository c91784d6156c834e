"""The sides of a comparison, each in a process of its own: `python -m tests.bench.side NAME TASK RESULT`."""
