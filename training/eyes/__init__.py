"""Training and scoring EyeNet: labelled eye images, their variety, losses and scores."""
