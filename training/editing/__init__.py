"""`unvisor edit`: other landmarks under the covering, another plausible face; and how far away."""
