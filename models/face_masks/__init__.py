"""FaceMaskNet: which pixels of a head's crop a face mask, a scarf or their straps cover."""
