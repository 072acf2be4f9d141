"""Photo in, photo out: the one inference path, and the files around it."""
