#include "conv_params.h"

#include <cmath>
#include <limits>

namespace onnxbin {
namespace {

// No extent of a convolution is larger in earnest, and sums of a few of them stay far from
// overflow.
constexpr int64_t kMaxExtent = std::numeric_limits<int32_t>::max();

std::string Join(const std::vector<int64_t>& values) {
  std::string text = "[";
  for (size_t i = 0; i < values.size(); ++i) text += (i ? ", " : "") + std::to_string(values[i]);
  return text + "]";
}

void CheckList(const char* name, const std::vector<int64_t>& values, size_t count, int64_t least) {
  bool good = values.size() == count;
  for (int64_t value : values) good = good && value >= least && value <= kMaxExtent;
  if (good) return;
  throw InvalidModel(std::string("attribute ") + name + " is " + Join(values) + "; expected " +
                     std::to_string(count) + " integers from " + std::to_string(least) + " to " +
                     std::to_string(kMaxExtent));
}

}  // namespace

int64_t CheckedProduct(int64_t a, int64_t b, const char* what) {
  if (b != 0 && a > std::numeric_limits<int64_t>::max() / b) {
    throw InvalidModel(std::string(what) +
                       " overflows 64 bits; expected a convolution that fits memory");
  }
  return a * b;
}

ConvParams MakeConvParams(InputKind input, const ConvAttributes& attributes, int64_t bases) {
  CheckList("weight_shape", attributes.weight_shape, 4, 1);
  CheckList("strides", attributes.strides, 2, 1);
  CheckList("pads", attributes.pads, 4, 0);
  CheckList("dilations", attributes.dilations, 2, 1);
  const int64_t out_channels = attributes.weight_shape[0];
  if (attributes.group < 1 || out_channels % attributes.group != 0) {
    throw InvalidModel("attribute group is " + std::to_string(attributes.group) +
                       "; expected a divisor of the " + std::to_string(out_channels) +
                       " output channels of weight_shape");
  }

  ConvParams params;
  params.input = input;
  params.activation = attributes.activation;
  params.bases = bases;
  params.group = attributes.group;
  params.out_channels = out_channels;
  params.group_channels = attributes.weight_shape[1];
  for (int axis = 0; axis < 2; ++axis) {
    params.kernel[axis] = attributes.weight_shape[2 + axis];
    params.stride[axis] = attributes.strides[axis];
    params.dilation[axis] = attributes.dilations[axis];
    params.pad_begin[axis] = attributes.pads[axis];
    params.pad_end[axis] = attributes.pads[2 + axis];
    if (CheckedProduct(params.kernel[axis] - 1, params.dilation[axis], "the dilated kernel") >=
        kMaxExtent) {
      throw InvalidModel("weight_shape " + Join(attributes.weight_shape) + " with dilations " +
                         Join(attributes.dilations) + " spans more than 2^31 pixels");
    }
  }
  CheckedProduct(CheckedProduct(params.kernel[0], params.kernel[1], "weight_shape"),
                 params.group_channels, "weight_shape");
  CheckedProduct(params.group, params.group_channels, "the number of input channels");

  if (input == InputKind::kQuant) {
    const int64_t bits = attributes.x_bits;
    if (bits != 2 && bits != 4 && bits != 8) {
      throw InvalidModel("attribute x_bits is " + std::to_string(bits) + "; expected 2, 4 or 8");
    }
    params.x_bits = static_cast<int>(bits);
  }
  // Sums of quanta are kept in 32 bits; more reals than that no sum has in earnest.
  const int64_t most = kMaxExtent / (2 * params.max_quantum());
  if (params.k() > most) {
    const std::string bits = std::to_string(params.x_bits) + "-bit";
    throw InvalidModel("weight_shape " + Join(attributes.weight_shape) + " sums " +
                       std::to_string(params.k()) + " products of " +
                       (input == InputKind::kReal ? "real" : bits) + " inputs; expected at most " +
                       std::to_string(most));
  }
  return params;
}

ImageShape OutputShape(const ConvParams& params, const ImageShape& x) {
  if (x.channels != params.in_channels()) {
    throw InvalidModel("input X has " + std::to_string(x.channels) + " channels; expected " +
                       std::to_string(params.in_channels()) + " = group * weight_shape[1]");
  }
  int64_t size[2] = {x.height, x.width};
  for (int axis = 0; axis < 2; ++axis) {
    if (size[axis] > kMaxExtent) {
      throw InvalidModel("input X is " + std::to_string(size[axis]) +
                         " pixels long; expected less than 2^31");
    }
    const int64_t window = (params.kernel[axis] - 1) * params.dilation[axis] + 1;
    const int64_t padded = size[axis] + params.pad_begin[axis] + params.pad_end[axis];
    if (window > padded) {
      throw InvalidModel("the kernel's window is " + std::to_string(window) + " pixels " +
                         (axis ? "wide" : "high") + " and the padded input " +
                         std::to_string(padded) + "; expected an input at least as large");
    }
    size[axis] = (padded - window) / params.stride[axis] + 1;
  }
  const int64_t plane = CheckedProduct(size[0], size[1], "the output");
  CheckedProduct(CheckedProduct(plane, params.out_channels, "the output"), x.batch, "the output");
  return {x.batch, params.out_channels, size[0], size[1]};
}

}  // namespace onnxbin
