"""The commands: one function a use, and the command line over them."""
