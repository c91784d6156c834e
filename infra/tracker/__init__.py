"""The tracker: a live view of cases, on Faust. Its rules are pure (`processors.tracking`)."""
