"""The network for many variables: the module, its training, and the scores it gives."""
