"""Synthetic cities in the samples' format: invented residents, whose registers are consistent under the rules.

The same seed gives the same files. What a city means (which cancellations are refused, which enrolments come to
nothing) is known beforehand, so that the reference model can be held against it.
"""
