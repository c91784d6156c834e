"""The whole mesh on real servers."""
