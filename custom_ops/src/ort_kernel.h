// A node of a session, ready to run, and what kinds of them have in common.
#ifndef ONNXBIN_ORT_KERNEL_H_
#define ONNXBIN_ORT_KERNEL_H_

#include <memory>

#include "activation.h"
#include "conv_params.h"
#include "ort_node.h"
#include "parallel.h"

namespace onnxbin {

class OrtKernel {
 public:
  virtual ~OrtKernel() = default;

  // Throws where an input does not fit.
  virtual void Run(const OrtApi& api, OrtKernelContext* context) const = 0;
};

// These throw InvalidModel where a node is at fault.
std::unique_ptr<OrtKernel> MakeConvKernel(const OrtNode& node, InputKind input,
                                          Activation::Kind activation);
std::unique_ptr<OrtKernel> MakeByteActivationKernel(const OrtNode& node,
                                                    Activation::Kind activation);

// An activation with its attributes.
Activation ReadActivation(const OrtNode& node, Activation::Kind kind);

// The session's own threads.
class SessionThreads : public Parallel {
 public:
  SessionThreads(const OrtApi& api, const OrtKernelContext* context)
      : api_(api), context_(context) {}

 protected:
  void Run(void (*task)(void*, size_t), size_t count, void* user) const override {
    ThrowOnError(api_, api_.KernelContext_ParallelFor(context_, task, count, 0, user));
  }

 private:
  const OrtApi& api_;
  const OrtKernelContext* context_;
};

}  // namespace onnxbin

#endif  // ONNXBIN_ORT_KERNEL_H_
