"""The wearer's eyes: what the eye cameras see becomes the lids and irises of the face mesh."""
