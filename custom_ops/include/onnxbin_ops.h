// The public interface of libonnxbin_ops, a library of ONNX Runtime custom operators.
//
// Domain "onnxbin", version 1: BinaryConv, BinaryConvSign and BinaryConvQuant, convolutions whose
// weights are sums of 1-bit tensors, and each with an activation, as BinaryConvRelu. For C and C++;
// ONNX Runtime 1.17 or newer is needed. What registers the library in other languages is in
// docs/deploy.md.
//
// Environment: ONNXBIN_ISA names the kernel family to use instead of the best one of this
// processor. It is read when a session is made. A name that is unknown or not available fails the
// session with an error.
#ifndef ONNXBIN_OPS_H_
#define ONNXBIN_OPS_H_

// CMake defines onnxbin_ops_EXPORTS while it builds the library.
#if !defined(_WIN32)
#define ONNXBIN_EXPORT __attribute__((visibility("default")))
#elif defined(onnxbin_ops_EXPORTS)
#define ONNXBIN_EXPORT __declspec(dllexport)
#else
#define ONNXBIN_EXPORT __declspec(dllimport)
#endif

#ifdef __cplusplus
#define ONNXBIN_NOEXCEPT noexcept
extern "C" {
#else
#define ONNXBIN_NOEXCEPT
#endif

// Of onnxruntime_c_api.h, which need not be there.
struct OrtApiBase;
struct OrtSessionOptions;
struct OrtStatus;

// Adds the operators to a session's options. Returns null, or the error; the caller releases it.
// A program that links the library passes OrtGetApiBase(); one that does not lets
// OrtApi::RegisterCustomOpsLibrary_V2 load the library and call this.
ONNXBIN_EXPORT struct OrtStatus* RegisterCustomOps(
    struct OrtSessionOptions* options, const struct OrtApiBase* api_base) ONNXBIN_NOEXCEPT;

// The kernel families available on this processor, comma-separated: the one that new sessions use
// first, the others from the fastest to the slowest. Where ONNXBIN_ISA names none of them the
// string is empty. It stays valid until the same thread calls again.
ONNXBIN_EXPORT const char* OnnxbinInstructionSets(void) ONNXBIN_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif  // ONNXBIN_OPS_H_
