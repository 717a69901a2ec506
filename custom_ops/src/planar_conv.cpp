#include "planar_conv.h"

#include <algorithm>

#include "quantizer.h"
#include "scratch_buffer.h"

namespace onnxbin {
namespace {

// Enough for the threads of any processor to share evenly, few enough for their planes to fit its
// caches.
constexpr int64_t kTasks = 16;
// How far, in pixels, planes may reach beyond an image, and how many floats they may take beyond
// its own: so a file cannot make much memory out of an image by strides, paddings and dilations.
constexpr int64_t kMostReach = 256, kMostFloats = int64_t{1} << 22;

}  // namespace

bool PlanarConv::Suits(const ConvParams& params, const KernelFamily& family) {
  int64_t floats = std::min(params.group, kTasks) * params.group_channels;
  for (int axis = 0; axis < 2; ++axis) {
    const int64_t window = (params.kernel[axis] - 1) * params.dilation[axis] + 1;
    const int64_t reach =
        params.pad_begin[axis] + params.pad_end[axis] + params.stride[axis] + window;
    if (reach > kMostReach || floats > kMostFloats / reach) return false;
    floats *= reach;
  }
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

int PlanarConv::Window() const {
  const bool square = params_.kernel[0] == params_.kernel[1] && params_.dilation[0] == 1;
  return square && params_.group_channels == 1 ? static_cast<int>(params_.kernel[0]) : 0;
}

PlanarConv::Layout PlanarConv::MakeLayout(const ImageShape& y_shape) const {
  Layout layout;
  layout.height =
      (y_shape.height - 1) * params_.stride[0] + (params_.kernel[0] - 1) * params_.dilation[0] + 1;
  layout.phase_width =
      y_shape.width + (params_.kernel[1] - 1) * params_.dilation[1] / params_.stride[1];
  layout.row = CheckedProduct(layout.phase_width, params_.stride[1], "the padded input");
  layout.plane = CheckedProduct(layout.height, layout.row, "the padded input");
  return layout;
}

void PlanarConv::FillPlane(const float* x, const ImageShape& x_shape, int64_t channel,
                           const Layout& layout, float* plane) const {
  const int64_t stride = params_.stride[1], pad = params_.pad_begin[1];
  const int64_t rows = std::min(x_shape.height, layout.height - params_.pad_begin[0]);
  PlanarInput input{};
  input.quantizer = quantizer_;
  input.channel = channel;
  input.rows = rows;
  input.columns = std::min(x_shape.width, layout.row - pad);
  input.x = x;
  input.x_row = x_shape.width;
  input.out_row = layout.row;
  if (input.columns <= 0) return;
  float* out = plane + params_.pad_begin[0] * layout.row;
  if (stride <= 2) {
    input.even = out + layout.Column(pad, stride);
    input.odd = stride == 2 ? out + layout.Column(pad + 1, stride) : nullptr;
    family_.fill_plane(input);
    return;
  }
  constexpr int64_t kPiece = 64;
  float values[kPiece];
  PlanarInput piece = input;
  piece.rows = 1;
  piece.even = values;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t first = 0; first < input.columns; first += kPiece) {
      piece.x = x + row * input.x_row + first;
      piece.columns = std::min(kPiece, input.columns - first);
      family_.fill_plane(piece);
      for (int64_t i = 0; i < piece.columns; ++i) {
        out[row * layout.row + layout.Column(pad + first + i, stride)] = values[i];
      }
    }
  }
}

void PlanarConv::Run(const float* x, const ImageShape& x_shape, float* y, const ImageShape& y_shape,
                     const Parallel& parallel) const {
  const Layout layout = MakeLayout(y_shape);
  // Each task takes its share of the groups one by one through the same planes, which so stay in
  // the cache.
  const int64_t tasks = std::min(params_.group, kTasks);
  const int64_t task_floats =
      CheckedProduct(layout.plane, params_.group_channels, "the padded input") + kPlanarSlack;
  const int64_t floats = CheckedProduct(task_floats, tasks, "the padded input");
  ScratchBuffer buffer(static_cast<size_t>(
      CheckedProduct(floats, static_cast<int64_t>(sizeof(float)), "the padded input")));

  std::vector<ptrdiff_t> offsets;
  for (int64_t c = 0; c < params_.group_channels; ++c) {
    for (int64_t r = 0; r < params_.kernel[0]; ++r) {
      for (int64_t s = 0; s < params_.kernel[1]; ++s) {
        offsets.push_back(c * layout.plane + r * params_.dilation[0] * layout.row +
                          layout.Column(s * params_.dilation[1], params_.stride[1]));
      }
    }
  }

  const int64_t in_plane = x_shape.height * x_shape.width;
  const int64_t out_plane = y_shape.height * y_shape.width;
  for (int64_t n = 0; n < x_shape.batch; ++n) {
    parallel.For(static_cast<size_t>(tasks), [&](size_t index) {
      const int64_t task = static_cast<int64_t>(index);
      float* planes = reinterpret_cast<float*>(buffer.data()) + task * task_floats;
      std::fill_n(planes, task_floats, 0.0f);  // the padding, which stays
      PlanarOutput output{};
      output.rows = y_shape.height;
      output.columns = y_shape.width;
      output.stride = params_.stride[0];
      output.x_row = layout.row;
      output.x = planes;
      output.taps = params_.k();
      output.offsets = offsets.data();
      output.window = Window();
      output.activation = params_.activation;
      for (int64_t group = params_.group * task / tasks; group < params_.group * (task + 1) / tasks;
           ++group) {
        for (int64_t i = 0; i < params_.group_channels; ++i) {
          const int64_t c = group * params_.group_channels + i;
          FillPlane(x + (n * x_shape.channels + c) * in_plane, x_shape, c, layout,
                    planes + i * layout.plane);
        }
        for (int64_t i = 0; i < params_.group_outputs(); ++i) {
          const int64_t m = group * params_.group_outputs() + i;
          output.w = weights_.data() + m * params_.k();
          output.bias = bias_[static_cast<size_t>(m)];
          output.out = y + (n * y_shape.channels + m) * out_plane;
          family_.compute_plane(output);
        }
      }
    });
  }
}

}  // namespace onnxbin
