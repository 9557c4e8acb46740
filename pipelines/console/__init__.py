"""What every command line shares: options, settings, progress, output, figures."""
