"""Is the profile of the person in view? Prints of faces, evidence over time, and what follows.

`face_print` is what a profile keeps of its owner, `print_making` makes it, `likeness` compares a
face with it, `evidence` adds comparisons up over time, `person_check` does all that beside the
pipeline and `news` tells clients, `question` asks the user, `badge` marks restored pictures.
"""
