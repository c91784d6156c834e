"""All tests. They may import every other folder; no other folder imports them."""
