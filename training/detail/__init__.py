"""Fills at the frame's resolution: scores of clips, and of pairs of portraits at up to 512 px."""
