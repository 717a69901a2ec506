"""The command line of onnxbin: each command parses, calls the library and prints."""
