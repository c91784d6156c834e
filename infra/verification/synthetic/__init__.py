"""Synthetic cities in the samples' format: invented residents whose registers are consistent under the rules.

The same seed gives the same files. The generator knows beforehand which cancellations are rejected and which enrolments
have no effect; tests compare the reference model with these counts.
"""
