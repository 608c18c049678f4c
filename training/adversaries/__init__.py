"""Adversaries: networks that learn to tell filled frames from true ones, training only."""
