"""``dseg demo``: all commands on drawn scenes."""
