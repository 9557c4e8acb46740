"""How good masks and features are: scores, intervals, calibration, probes of layers."""
