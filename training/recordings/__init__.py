"""One recording of a person restored from another of the same person: `evaluate-recordings`."""
