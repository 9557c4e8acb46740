"""``dseg convert``: masks as annotations of other programs."""
