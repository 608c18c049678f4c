"""A wearer's own network, and what the process that makes it is given."""
