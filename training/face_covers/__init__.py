"""Teaching CoverNet what lies over a face: made-up covers, and the training."""
