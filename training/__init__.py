"""Data, coverings, losses, metrics, training and evaluation of the networks."""
