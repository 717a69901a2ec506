// Rows of outputs from planes of floats, for small groups: plain loops that compilers vectorise. In
// an unnamed namespace, like all that is compiled for one instruction set; see tile_templates.h.
#ifndef ONNXBIN_KERNELS_PLANAR_ROWS_H_
#define ONNXBIN_KERNELS_PLANAR_ROWS_H_

#include "kernels/kernel_family.h"

namespace onnxbin {
namespace {

// kCount outputs at a time, their sums in registers over all taps.
template <int kCount, bool kDense>
inline void PlanarOutputs(const PlanarRow& row, int64_t first) {
  float sum[kCount];
  for (int i = 0; i < kCount; ++i) sum[i] = row.bias;
  const ptrdiff_t stride = kDense ? 1 : static_cast<ptrdiff_t>(row.stride);
  const float* w = row.w;
  for (int64_t c = 0; c < row.channels; ++c) {
    for (int64_t r = 0; r < row.rows; ++r) {
      const float* x = row.x + c * row.x_channel + r * row.x_row + first * stride;
      for (int64_t s = 0; s < row.columns; ++s, ++w, x += row.x_column) {
        for (int i = 0; i < kCount; ++i) sum[i] += *w * x[i * stride];
      }
    }
  }
  for (int i = 0; i < kCount; ++i) row.out[first + i] = sum[i];
}

template <bool kDense>
inline void PlanarRowOfStride(const PlanarRow& row) {
  int64_t i = 0;
  for (; i + 64 <= row.count; i += 64) PlanarOutputs<64, kDense>(row, i);
  for (; i + 16 <= row.count; i += 16) PlanarOutputs<16, kDense>(row, i);
  for (; i + 4 <= row.count; i += 4) PlanarOutputs<4, kDense>(row, i);
  for (; i < row.count; ++i) PlanarOutputs<1, kDense>(row, i);
}

inline void PlanarRowOfAnyStride(const PlanarRow& row) {
  if (row.stride == 1) return PlanarRowOfStride<true>(row);
  PlanarRowOfStride<false>(row);
}

}  // namespace
}  // namespace onnxbin

#endif  // ONNXBIN_KERNELS_PLANAR_ROWS_H_
