"""Parts of `fuzz.py`: what is fed, how it is changed, and the process that reads it."""
