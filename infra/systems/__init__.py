"""`mesh systems` and `mesh rules`: the declared systems, listed, checked, begun, and explained field by field."""
