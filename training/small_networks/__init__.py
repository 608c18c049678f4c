"""Training a small network for so many minutes: what all of them share."""
