"""The parts that Transformers differ in, a file each. Activations and kinds of norms, of which programs speak too, are in `drasp.ir`."""
