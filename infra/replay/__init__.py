"""`mesh replay`: all that was derived is forgotten, and derived again from the `in.` topics alone."""
