"""What sources of files have in common: the first look, lines with their numbers, whose file it is."""
