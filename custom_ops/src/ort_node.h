// Reading a node of an ONNX Runtime graph: attributes and tensors, with errors as exceptions.
#ifndef ONNXBIN_ORT_NODE_H_
#define ONNXBIN_ORT_NODE_H_

#include <string>
#include <vector>

#ifdef ONNXBIN_OFFICIAL_ORT_HEADERS
#include <onnxruntime_c_api.h>
#else
#include "ort_c_abi.h"
#endif

namespace onnxbin {

// Throws std::runtime_error with the status' message, and releases it, unless it is null.
void ThrowOnError(const OrtApi& api, OrtStatus* status);

// A tensor that belongs to the runtime.
struct Tensor {
  std::vector<int64_t> shape;
  const void* data = nullptr;
};

// What a node says of itself when its kernel is made. Methods throw InvalidModel where the node
// does not have what is asked for.
class OrtNode {
 public:
  OrtNode(const OrtApi& api, const OrtKernelInfo* info) : api_(api), info_(info) {}

  std::string Name() const;
  bool Has(const char* attribute) const;
  int64_t Integer(const char* attribute) const;
  float Float(const char* attribute) const;
  std::vector<int64_t> Integers(const char* attribute) const;
  // Input `index`, which must be a constant of type `type`; `name` is for messages.
  Tensor Constant(size_t index, const char* name, ONNXTensorElementDataType type) const;

 private:
  const OrtApi& api_;
  const OrtKernelInfo* info_;
};

// The shape and data of `value`; throws InvalidModel where it is not of type `type`. `name` is for
// messages.
Tensor ReadTensor(const OrtApi& api, const OrtValue* value, const char* name,
                  ONNXTensorElementDataType type);

std::string ShapeText(const std::vector<int64_t>& shape);

}  // namespace onnxbin

#endif  // ONNXBIN_ORT_NODE_H_
