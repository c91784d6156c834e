"""One city on servers of its own: which user sees which data, and which data names a person."""
