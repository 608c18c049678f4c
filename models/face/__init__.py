"""The 478-point face mesh: its points and triangles, the crop it gives, and who finds it."""
