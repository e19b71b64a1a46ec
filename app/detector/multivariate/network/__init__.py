"""The network of many variables: how it is trained, and how it scores."""
