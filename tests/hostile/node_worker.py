"""Runs models in ONNX Runtime with the operator library, one after another: `node_worker.py LIBRARY`.

Reads pickled (model, input) pairs from standard input; answers each with the pickled output, or the text of
the error. Meant to be started with a sanitizer, which ends it where the library errs.
"""

import os
import pickle
import sys

import onnxruntime

library = sys.argv[1]
answers = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)  # what the runtime prints is no answer
while True:
    try:
        model, x = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    options = onnxruntime.SessionOptions()
    options.register_custom_ops_library(library)
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        answer = session.run(None, {"X": x})[0]
    except Exception as error:
        answer = str(error)
    pickle.dump(answer, answers)
    answers.flush()
