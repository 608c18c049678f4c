"""Feeding a training: clips decoded once, streams prepared ahead by workers, kept on the device."""
