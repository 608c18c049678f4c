"""Training and judging the network that tells whether the profile is of the person in view."""
