"""The ensemble of MLPs: its members, their training, the vote, the model on disk."""
