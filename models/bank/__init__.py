"""The reference bank: several views of the bare face, and what of them each frame is made from."""
