"""`mesh apply`: brings the servers to what is declared. Whatever is there already stays as it is."""
