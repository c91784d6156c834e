"""Attacks: what somebody would try against the mesh, by kind. Each test failed before the fault was mended."""
