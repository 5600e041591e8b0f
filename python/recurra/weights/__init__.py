"""Models in files and in the frameworks' own form: one table of gate orders, one kind of error for broken files."""
