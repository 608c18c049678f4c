"""Engines run exported networks: bind tensors by name, run, keep recurrent states in place."""
