"""EyeNet, which reads an eye camera's image, and the moving of a reference picture's eyes."""
