"""``dseg labels``: check label maps of any form, and convert them to plain ones."""
