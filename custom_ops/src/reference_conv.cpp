#include "reference_conv.h"

#include <cmath>

namespace onnxbin {

ReferenceConv::ReferenceConv(const ConvParams& params, const ConvConstants& constants)
    : params_(params),
      signs_(constants.signs,
             constants.signs + params.bases * params.out_channels * params.row_bytes()),
      scale_(constants.scale, constants.scale + params.bases * params.out_channels),
      bias_(constants.bias, constants.bias + params.out_channels),
      x_step_(constants.x_step) {
  if (params.input == InputKind::kReal) return;
  const int64_t zeros = constants.x_zero_per_channel ? params.in_channels() : 1;
  x_zero_.assign(constants.x_zero, constants.x_zero + zeros);
}

// The input as the convolution sees it, V of the contract. The quantiser works in float32 and
// rounds after each operation; the product with x_step is taken in double, as is all that follows.
double ReferenceConv::InputValue(float x, int64_t channel) const {
  switch (params_.input) {
    case InputKind::kReal:
      return x;
    case InputKind::kSign: {
      const float threshold = x_zero_.size() == 1 ? x_zero_[0] : x_zero_[channel];
      return x >= threshold ? x_step_ : -x_step_;  // a NaN is not >=: -s
    }
    case InputKind::kQuant: {
      const float inverse_step = 1.0f / x_step_;
      float q = x * inverse_step;
      q = q + x_zero_[0];
      q = std::floor(q + 0.5f);
      q = q > 0.0f ? q : 0.0f;  // a NaN is not >: 0
      const float most = static_cast<float>(params_.max_quantum());
      q = q < most ? q : most;
      return static_cast<double>(x_step_) * (static_cast<double>(q) - x_zero_[0]);
    }
  }
  return 0;
}

// W' of the contract: the bases are summed first, or infinite inputs would meet several signs.
double ReferenceConv::Weight(int64_t m, int64_t k) const {
  double weight = 0;
  for (int64_t b = 0; b < params_.bases; ++b) {
    const int64_t row = b * params_.out_channels + m;
    const bool plus = signs_[row * params_.row_bytes() + k / 8] >> (k % 8) & 1;
    weight += plus ? scale_[row] : -scale_[row];
  }
  return weight;
}

double ReferenceConv::Output(const float* image, const ImageShape& x_shape, int64_t m,
                             int64_t out_row, int64_t out_column) const {
  const int64_t first_channel = m / params_.group_outputs() * params_.group_channels;
  double y = bias_[m];
  int64_t k = 0;
  for (int64_t c = first_channel; c < first_channel + params_.group_channels; ++c) {
    for (int64_t r = 0; r < params_.kernel[0]; ++r) {
      for (int64_t s = 0; s < params_.kernel[1]; ++s, ++k) {
        const int64_t row =
            out_row * params_.stride[0] - params_.pad_begin[0] + r * params_.dilation[0];
        const int64_t column =
            out_column * params_.stride[1] - params_.pad_begin[1] + s * params_.dilation[1];
        if (row < 0 || row >= x_shape.height || column < 0 || column >= x_shape.width) continue;
        y += Weight(m, k) *
             InputValue(image[(c * x_shape.height + row) * x_shape.width + column], c);
      }
    }
  }
  return Activated(params_.activation, static_cast<float>(y));
}

void ReferenceConv::Run(const float* x, const ImageShape& x_shape, float* y,
                        const ImageShape& y_shape, const Parallel& parallel) const {
  const int64_t image_size = x_shape.channels * x_shape.height * x_shape.width;
  const int64_t plane_size = y_shape.height * y_shape.width;
  parallel.For(static_cast<size_t>(y_shape.batch * y_shape.channels), [&](size_t plane) {
    const float* image = x + static_cast<int64_t>(plane) / y_shape.channels * image_size;
    const int64_t m = static_cast<int64_t>(plane) % y_shape.channels;
    float* out = y + static_cast<int64_t>(plane) * plane_size;
    for (int64_t row = 0; row < y_shape.height; ++row) {
      for (int64_t column = 0; column < y_shape.width; ++column) {
        *out++ = static_cast<float>(Output(image, x_shape, m, row, column));
      }
    }
  });
}

}  // namespace onnxbin
