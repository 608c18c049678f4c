"""Quality gates: what makes a picture of the bare face unfit as a reference, and what helps."""
