// The kernel of an activation between tensors of 8 bits: a table made once, looked up by all
// threads.
#include <algorithm>
#include <cmath>

#include "byte_table.h"
#include "kernels/families.h"
#include "ort_kernel.h"

namespace onnxbin {
namespace {

enum Input : size_t { kX, kXScale, kXZeroPoint, kYScale, kYZeroPoint };

constexpr int64_t kTaskBytes = int64_t{32} << 10;

// What fits a constant that is to be one number: no dimensions, or one of 1.
template <typename Number>
Number Scalar(const OrtNode& node, size_t index, const char* name, ONNXTensorElementDataType type) {
  const Tensor tensor = node.Constant(index, name, type);
  if (!tensor.shape.empty() && tensor.shape != std::vector<int64_t>{1}) {
    throw InvalidModel(std::string("input ") + name + " has shape " + ShapeText(tensor.shape) +
                       "; expected a single number");
  }
  return *static_cast<const Number*>(tensor.data);
}

ByteScale ReadScale(const OrtNode& node, size_t scale, const char* scale_name, size_t zero,
                    const char* zero_name) {
  const ByteScale read{Scalar<float>(node, scale, scale_name, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT),
                       Scalar<uint8_t>(node, zero, zero_name, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8)};
  if (!(read.scale > 0) || !std::isfinite(read.scale)) {
    throw InvalidModel(std::string("input ") + scale_name + " is " + std::to_string(read.scale) +
                       "; expected a finite number above 0");
  }
  return read;
}

class ByteActivationKernel : public OrtKernel {
 public:
  ByteActivationKernel(const OrtNode& node, Activation::Kind kind)
      : look_up_(SelectedFamily().look_up),
        table_(MakeByteTable(ReadActivation(node, kind),
                             ReadScale(node, kXScale, "x_scale", kXZeroPoint, "x_zero_point"),
                             ReadScale(node, kYScale, "y_scale", kYZeroPoint, "y_zero_point"))) {}

  void Run(const OrtApi& api, OrtKernelContext* context) const override {
    const OrtValue* value = nullptr;
    ThrowOnError(api, api.KernelContext_GetInput(context, kX, &value));
    const Tensor x = ReadTensor(api, value, "X", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8);
    OrtValue* y = nullptr;
    ThrowOnError(api, api.KernelContext_GetOutput(context, 0, x.shape.data(), x.shape.size(), &y));
    int64_t count = 1;
    for (int64_t extent : x.shape) count *= extent;
    if (count == 0) return;
    void* data = nullptr;
    ThrowOnError(api, api.GetTensorMutableData(y, &data));
    const uint8_t* from = static_cast<const uint8_t*>(x.data);
    uint8_t* to = static_cast<uint8_t*>(data);
    const int64_t tasks = (count + kTaskBytes - 1) / kTaskBytes;
    SessionThreads(api, context).For(static_cast<size_t>(tasks), [&](size_t task) {
      const int64_t first = static_cast<int64_t>(task) * kTaskBytes;
      look_up_(table_.data(), from + first, std::min(kTaskBytes, count - first), to + first);
    });
  }

 private:
  decltype(KernelFamily::look_up) look_up_;
  const ByteTable table_;
};

}  // namespace

std::unique_ptr<OrtKernel> MakeByteActivationKernel(const OrtNode& node,
                                                    Activation::Kind activation) {
  return std::make_unique<ByteActivationKernel>(node, activation);
}

}  // namespace onnxbin
