"""One training's run: its processes, its folder, checkpoints and curves."""
