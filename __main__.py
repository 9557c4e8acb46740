"""``python -m dseg``: the command line where the ``dseg`` script is not on the path."""

from .pipelines.main import main

if __name__ == "__main__":  # not in processes that are spawned for a cluster
    main()
