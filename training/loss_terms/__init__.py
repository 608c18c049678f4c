"""Terms of the training loss: on pixels, through frozen networks, and all of them together."""
