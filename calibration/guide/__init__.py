"""Guiding a person through what has to be seen: steps, the machine that follows them, prompts."""
