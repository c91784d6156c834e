"""Attacks on the mesh, each as it was made: what a test here does must not succeed again."""
