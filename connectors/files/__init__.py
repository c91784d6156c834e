"""The common part of file sources: lines with their numbers, encodings and columns, batches, names of files."""
