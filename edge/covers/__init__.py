"""What covers the face, a headset or a face mask: finding it, following it, saying what is seen."""
