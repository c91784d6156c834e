"""`mesh replay`: deletes everything derived and derives it again from the input topics alone."""
