"""Whole cities, agencies, accounts and faulty files through real servers, workers and commands."""
