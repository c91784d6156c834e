"""`mesh apply`: creates and updates what the declarations in `schemas/` require, and changes nothing else."""
