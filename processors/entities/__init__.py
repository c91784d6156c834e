"""Declared entities of a person: from the submissions received to timelines, and from these to the domains' rows."""
