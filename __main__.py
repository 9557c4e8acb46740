"""``python -m dseg``: the command line where the ``dseg`` script is not on the path."""

from .pipelines.main import main

main()
