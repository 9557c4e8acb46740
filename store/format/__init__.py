"""The store on disk: names, shapes and codecs of its arrays; docs/store-format.md in code."""
