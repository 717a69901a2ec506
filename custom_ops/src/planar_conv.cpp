#include "planar_conv.h"

#include <algorithm>

#include "aligned_buffer.h"
#include "quantizer.h"

namespace onnxbin {

bool PlanarConv::Suits(const ConvParams& params, const KernelFamily& family) {
  const TileKernel& kernel = params.input == InputKind::kReal ? family.reals : family.bits;
  // Vector operations per output pixel, tap and group; a load for each makes planar ones cost
  // double.
  const int64_t lanes = family.reals.panel / 2;
  const int64_t vectors = (params.group_outputs() + lanes - 1) / lanes;
  const int64_t words = (params.group_channels + kernel.word_channels - 1) / kernel.word_channels;
  return 2 * params.group_outputs() * params.group_channels <=
         lanes * vectors * words * params.x_bits;
}

PlanarConv::PlanarConv(const ConvParams& params, const ConvConstants& constants,
                       const KernelFamily& family)
    : family_(family),
      params_(params),
      weights_(static_cast<size_t>(params.out_channels * params.k())),
      bias_(constants.bias, constants.bias + params.out_channels),
      thresholds_(CopyThresholds(params, constants)) {
  quantizer_ = MakeQuantizer(params, constants, thresholds_);
  for (int64_t b = 0; b < params.bases; ++b) {
    for (int64_t m = 0; m < params.out_channels; ++m) {
      const uint8_t* signs = constants.signs + (b * params.out_channels + m) * params.row_bytes();
      float scale = constants.scale[b * params.out_channels + m];
      if (params.input != InputKind::kReal) scale *= constants.x_step;
      for (int64_t k = 0; k < params.k(); ++k) {
        const bool plus = signs[k / 8] >> (k % 8) & 1;
        weights_[static_cast<size_t>(m * params.k() + k)] += plus ? scale : -scale;
      }
    }
  }
}

void PlanarConv::Run(const float* x, const ImageShape& x_shape, float* y, const ImageShape& y_shape,
                     const Parallel& parallel) const {
  // Planes with their padding, as far as windows reach.
  const int64_t height =
      (y_shape.height - 1) * params_.stride[0] + (params_.kernel[0] - 1) * params_.dilation[0] + 1;
  const int64_t width =
      (y_shape.width - 1) * params_.stride[1] + (params_.kernel[1] - 1) * params_.dilation[1] + 1;
  const int64_t plane = CheckedProduct(height, width, "the padded input");
  const int64_t floats = CheckedProduct(plane, x_shape.channels, "the padded input");
  AlignedBuffer buffer(static_cast<size_t>(
      CheckedProduct(floats, static_cast<int64_t>(sizeof(float)), "the padded input")));
  float* padded = reinterpret_cast<float*>(buffer.data());

  const int64_t in_plane = x_shape.height * x_shape.width;
  const int64_t out_plane = y_shape.height * y_shape.width;
  for (int64_t n = 0; n < x_shape.batch; ++n) {
    parallel.For(static_cast<size_t>(x_shape.channels), [&](size_t index) {
      const int64_t c = static_cast<int64_t>(index);
      float* out = padded + c * plane;
      std::fill_n(out, plane, 0.0f);
      const int64_t rows = std::min(x_shape.height, height - params_.pad_begin[0]);
      const int64_t columns = std::min(x_shape.width, width - params_.pad_begin[1]);
      for (int64_t row = 0; row < rows && columns > 0; ++row) {
        family_.planar_values(
            quantizer_, c, x + (n * x_shape.channels + c) * in_plane + row * x_shape.width, columns,
            out + (row + params_.pad_begin[0]) * width + params_.pad_begin[1]);
      }
    });
    parallel.For(static_cast<size_t>(y_shape.channels), [&](size_t index) {
      const int64_t m = static_cast<int64_t>(index);
      const int64_t first_channel = m / params_.group_outputs() * params_.group_channels;
      PlanarRow row{};
      row.count = y_shape.width;
      row.stride = params_.stride[1];
      row.channels = params_.group_channels;
      row.rows = params_.kernel[0];
      row.columns = params_.kernel[1];
      row.x_channel = plane;
      row.x_row = params_.dilation[0] * width;
      row.x_column = params_.dilation[1];
      row.w = weights_.data() + m * params_.k();
      row.bias = bias_[static_cast<size_t>(m)];
      for (int64_t i = 0; i < y_shape.height; ++i) {
        row.x = padded + first_channel * plane + i * params_.stride[0] * width;
        row.out = y + (n * y_shape.channels + m) * out_plane + i * y_shape.width;
        family_.planar_row(row);
      }
    });
  }
}

}  // namespace onnxbin
