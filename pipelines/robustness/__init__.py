"""``dseg robustness``: how mIoU falls as images get noisier, blurrier, foggier."""
