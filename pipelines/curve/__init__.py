"""``dseg curve``: the mIoU against the number of labelled images."""
