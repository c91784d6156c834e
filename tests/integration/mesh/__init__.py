"""`mesh apply` on real servers."""
