"""Other published face inpainting networks, beside ours: trained, scored and run the same way."""
