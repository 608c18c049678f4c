"""Fine-tuning the inpainting network's last layers on one wearer's own clip, against the clock.

`clip` is what is learned from and what is held back, `drawing` puts headsets on it, `learning`
trains, `scoring` decides whether the result is kept, and
`__main__` is the process that `calibrate-reference --finetune` starts.
"""
