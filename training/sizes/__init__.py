"""How large networks are and what they cost: `unvisor architectures`."""
