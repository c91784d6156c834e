"""`mesh demo`: runs everything from nothing in its own MESH_HOME, compares every row with the reference model."""
