"""What a store's tables had on a day, as it was known on a day: the command `mesh as-of`."""
