"""Checks of the product that share no code with it: a reference model of the rules, and synthetic cities."""
