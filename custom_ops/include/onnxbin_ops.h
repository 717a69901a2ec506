// The public interface of libonnxbin_ops, a library of ONNX Runtime custom operators.
//
// Domain "onnxbin", version 1: BinaryConv, BinaryConvSign and BinaryConvQuant, convolutions whose
// weights are sums of 1-bit tensors. Register the library with
// SessionOptions::RegisterCustomOpsLibrary (C, C++) or SessionOptions.register_custom_ops_library
// (Python); ONNX Runtime 1.17 or newer is needed.
//
// Environment: ONNXBIN_ISA names the kernel family to use instead of the best one of this
// processor. It is read when a session is made. A name that is unknown or not available fails the
// session with an error.
#ifndef ONNXBIN_OPS_H_
#define ONNXBIN_OPS_H_

#if defined(_WIN32)
#define ONNXBIN_EXPORT __declspec(dllexport)
#else
#define ONNXBIN_EXPORT __attribute__((visibility("default")))
#endif

struct OrtApiBase;
struct OrtSessionOptions;
struct OrtStatus;

extern "C" {

// Adds the operators to a session's options. Returns null, or the error; the caller releases it.
ONNXBIN_EXPORT OrtStatus* RegisterCustomOps(OrtSessionOptions* options,
                                            const OrtApiBase* api_base) noexcept;

// The kernel families available on this processor, comma-separated: the one that new sessions use
// first, the others from the fastest to the slowest. Where ONNXBIN_ISA names none of them the
// string is empty. It stays valid until the same thread calls again.
ONNXBIN_EXPORT const char* OnnxbinInstructionSets(void) noexcept;
}

#endif  // ONNXBIN_OPS_H_
