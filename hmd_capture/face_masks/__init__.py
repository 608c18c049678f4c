"""Simulated face masks and scarves, fitted to a face mesh: their cut, cloth and drawing."""
