"""``dseg doctor``: whether dseg works on this machine, and with what."""
