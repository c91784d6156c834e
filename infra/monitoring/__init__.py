"""`mesh wait`, `mesh status`, `mesh state`: progress as the servers report it, wherever the workers run."""
