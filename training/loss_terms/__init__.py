"""Terms of the training loss that look through frozen networks, and all terms together."""
