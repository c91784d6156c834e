"""One city on servers of its own: who sees what, and what is said of whom."""
