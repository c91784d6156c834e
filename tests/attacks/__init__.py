"""Attacks on the mesh: each test is something that a submitter, a replay or a mistake must not achieve."""
