"""With which camera and tracker a profile was taken, and finding that camera again."""
