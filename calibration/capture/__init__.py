"""Taking the reference: frames in, judged and kept; a profile and a trial of it out."""
