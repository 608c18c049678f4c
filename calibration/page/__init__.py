"""The capture in a page of the browser: live picture, instructions, result, save or again."""
