"""Parts of fit_curves.py."""
