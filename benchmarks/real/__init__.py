"""The parts of ``benchmarks/real_data.py``: sets of images, methods, scores, results, report."""
