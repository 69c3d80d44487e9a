"""The formats that models come in, a file each: from a configuration and tensors by name to the plain description."""
