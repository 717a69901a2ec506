// The kernel of a convolution: constants checked, made ready, run on the tensors of the runtime.
#include <cmath>

#include "binary_conv.h"
#include "kernels/families.h"
#include "ort_kernel.h"

namespace onnxbin {
namespace {

enum Input : size_t { kX, kW, kScale, kBias, kXStep, kXZero };

void CheckFinite(const char* name, const float* values, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    if (!std::isfinite(values[i])) {
      throw InvalidModel(std::string("input ") + name + " holds " + std::to_string(values[i]) +
                         " at " + std::to_string(i) + "; expected finite numbers");
    }
  }
}

void CheckShape(const char* name, const std::vector<int64_t>& found,
                const std::vector<int64_t>& expected) {
  if (found != expected) {
    throw InvalidModel(std::string("input ") + name + " has shape " + ShapeText(found) +
                       "; expected " + ShapeText(expected));
  }
}

class ConvKernel : public OrtKernel {
 public:
  ConvKernel(const OrtNode& node, InputKind input, Activation::Kind activation) {
    constexpr ONNXTensorElementDataType kFloat = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    ConvAttributes attributes;
    attributes.weight_shape = node.Integers("weight_shape");
    if (node.Has("strides")) attributes.strides = node.Integers("strides");
    if (node.Has("pads")) attributes.pads = node.Integers("pads");
    if (node.Has("dilations")) attributes.dilations = node.Integers("dilations");
    if (node.Has("group")) attributes.group = node.Integer("group");
    if (input == InputKind::kQuant) attributes.x_bits = node.Integer("x_bits");
    attributes.activation = ReadActivation(node, activation);

    const Tensor w = node.Constant(kW, "W", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8);
    if (w.shape.size() != 3 || w.shape[0] < 1) {
      throw InvalidModel("input W has shape " + ShapeText(w.shape) +
                         "; expected [bases, M, ceil(K / 8)] with at least one base");
    }
    params_ = MakeConvParams(input, attributes, w.shape[0]);
    CheckShape("W", w.shape, {params_.bases, params_.out_channels, params_.row_bytes()});
    const Tensor scale = node.Constant(kScale, "scale", kFloat);
    CheckShape("scale", scale.shape, {params_.bases, params_.out_channels});
    const Tensor bias = node.Constant(kBias, "bias", kFloat);
    CheckShape("bias", bias.shape, {params_.out_channels});

    ConvConstants constants;
    constants.signs = static_cast<const uint8_t*>(w.data);
    constants.scale = static_cast<const float*>(scale.data);
    CheckFinite("scale", constants.scale, params_.bases * params_.out_channels);
    constants.bias = static_cast<const float*>(bias.data);
    if (input != InputKind::kReal) {
      const Tensor step = node.Constant(kXStep, "x_step", kFloat);
      CheckShape("x_step", step.shape, {1});
      constants.x_step = *static_cast<const float*>(step.data);
      if (!(constants.x_step > 0) || !std::isfinite(constants.x_step) ||
          !std::isfinite(1.0f / constants.x_step)) {
        throw InvalidModel("input x_step is " + std::to_string(constants.x_step) +
                           "; expected a number above 0 whose inverse is finite");
      }
      const Tensor zero = node.Constant(kXZero, "x_zero", kFloat);
      constants.x_zero_per_channel =
          input == InputKind::kSign && zero.shape != std::vector<int64_t>{1};
      CheckShape("x_zero", zero.shape, {constants.x_zero_per_channel ? params_.in_channels() : 1});
      constants.x_zero = static_cast<const float*>(zero.data);
      CheckFinite("x_zero", constants.x_zero, zero.shape[0]);
    }
    conv_ = MakeBinaryConv(params_, constants, SelectedFamily());
  }

  void Run(const OrtApi& api, OrtKernelContext* context) const override {
    const OrtValue* value = nullptr;
    ThrowOnError(api, api.KernelContext_GetInput(context, kX, &value));
    const Tensor x = ReadTensor(api, value, "X", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
    if (x.shape.size() != 4) {
      throw InvalidModel("input X has shape " + ShapeText(x.shape) + "; expected [N, C, H, W]");
    }
    const ImageShape x_shape{x.shape[0], x.shape[1], x.shape[2], x.shape[3]};
    const ImageShape y_shape = OutputShape(params_, x_shape);
    const int64_t dims[4] = {y_shape.batch, y_shape.channels, y_shape.height, y_shape.width};
    OrtValue* y = nullptr;
    ThrowOnError(api, api.KernelContext_GetOutput(context, 0, dims, 4, &y));
    if (y_shape.batch == 0) return;
    void* y_data = nullptr;
    ThrowOnError(api, api.GetTensorMutableData(y, &y_data));
    conv_->Run(static_cast<const float*>(x.data), x_shape, static_cast<float*>(y_data), y_shape,
               SessionThreads(api, context));
  }

 private:
  ConvParams params_;
  std::unique_ptr<BinaryConv> conv_;
};

}  // namespace

std::unique_ptr<OrtKernel> MakeConvKernel(const OrtNode& node, InputKind input,
                                          Activation::Kind activation) {
  return std::make_unique<ConvKernel>(node, input, activation);
}

}  // namespace onnxbin
