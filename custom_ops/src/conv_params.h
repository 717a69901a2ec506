// What a binary convolution computes: its parameters, checked once, and the shapes that follow from
// them.
//
// Terms, used all over this library:
//   sign bit  1 stands for the weight +1, 0 for -1
//   K         the weights of one output channel: input channels of the group * height * width of
//             the kernel, in OIHW order
//   tap       one position (row, column) of the kernel's window
//   base      one of the 1-bit tensors whose scaled sum is the weight:
//             W' = sum_b scale[b, m] * sign[b, m, k]
//   quantum   q, the integer that stands for an input: 0 or 1 in BinaryConvSign,
//             0 .. 2^x_bits - 1 in BinaryConvQuant
// Arrays of two hold height, then width.
#ifndef ONNXBIN_CONV_PARAMS_H_
#define ONNXBIN_CONV_PARAMS_H_

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "activation.h"

namespace onnxbin {

// Something in the model is wrong. The message says what was found and what was expected; who
// catches it adds the node's name.
class InvalidModel : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class InputKind {
  kReal,   // BinaryConv: the input as it is
  kSign,   // BinaryConvSign: +s where x >= t, else -s
  kQuant,  // BinaryConvQuant: x_step * (q - x_zero)
};

// The attributes of a node, as read; what a node may leave out is as in ONNX Conv.
struct ConvAttributes {
  std::vector<int64_t> weight_shape;
  std::vector<int64_t> strides{1, 1}, pads{0, 0, 0, 0}, dilations{1, 1};
  int64_t group = 1;
  int64_t x_bits = 1;  // read for kQuant alone
  Activation activation;
};

struct ConvParams {
  InputKind input = InputKind::kReal;
  int x_bits = 1;  // of a quantum; 1 for kSign, without meaning for kReal
  int64_t bases = 1;
  int64_t group = 1;
  int64_t out_channels = 0;    // M, of all groups
  int64_t group_channels = 0;  // input channels of one group
  std::array<int64_t, 2> kernel{}, stride{}, dilation{}, pad_begin{}, pad_end{};
  Activation activation;

  int64_t in_channels() const { return group * group_channels; }
  int64_t group_outputs() const { return out_channels / group; }
  int64_t taps() const { return kernel[0] * kernel[1]; }
  int64_t k() const { return group_channels * taps(); }
  int64_t row_bytes() const { return (k() + 7) / 8; }  // of one output channel in W
  // 1x1, stride 1, no padding
  bool IsPointwise() const {
    constexpr std::array<int64_t, 2> kOnes{1, 1}, kZeros{0, 0};
    return kernel == kOnes && stride == kOnes && pad_begin == kZeros && pad_end == kZeros;
  }
  int max_quantum() const { return (1 << x_bits) - 1; }
};

// The constant inputs of a node, as they stand in the model; borrowed.
struct ConvConstants {
  const uint8_t* signs = nullptr;   // W [bases, M, row_bytes], least significant bit first
  const float* scale = nullptr;     // [bases, M]
  const float* bias = nullptr;      // [M]
  float x_step = 1;                 // not for kReal
  const float* x_zero = nullptr;    // [1], or for kSign [1] or [C]; not for kReal
  bool x_zero_per_channel = false;  // [C]
};

struct ImageShape {
  int64_t batch, channels, height, width;
};

// a * b, for a, b >= 0; throws InvalidModel, naming `what`, where the product does not fit.
int64_t CheckedProduct(int64_t a, int64_t b, const char* what);

// Checks a node's attributes; throws InvalidModel.
ConvParams MakeConvParams(InputKind input, const ConvAttributes& attributes, int64_t bases);

// The shape of the output for an input of shape `x`; throws InvalidModel where they do not fit.
ImageShape OutputShape(const ConvParams& params, const ImageShape& x);

}  // namespace onnxbin

#endif  // ONNXBIN_CONV_PARAMS_H_
