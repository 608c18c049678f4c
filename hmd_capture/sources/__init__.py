"""Real eye cameras, and what stands in for them: each kind of device has a file of its own."""
