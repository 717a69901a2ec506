"""`python -m onnxbin_cli` is `onnxbin`."""

from onnxbin_cli.main import main

if __name__ == "__main__":
    main()
