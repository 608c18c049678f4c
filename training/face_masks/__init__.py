"""Teaching FaceMaskNet what face masks cover: made-up scenes, training, scores."""
