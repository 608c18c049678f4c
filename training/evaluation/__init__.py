"""Scoring what fillers and networks fill in: protocols, measures, methods and their reports."""
