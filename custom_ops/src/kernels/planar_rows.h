// Planes and rows of floats for small groups, with the vector types of GCC and Clang. In an unnamed
// namespace, like all that is compiled for one instruction set; see tile_templates.h.
#ifndef ONNXBIN_KERNELS_PLANAR_ROWS_H_
#define ONNXBIN_KERNELS_PLANAR_ROWS_H_

#include "kernels/pack_vectors.h"
#include "kernels/tile_templates.h"

namespace onnxbin {
namespace {

template <int kLanes>
inline typename Vectors<kLanes>::Floats PlanarValue(const Quantizer& quantizer, float threshold,
                                                    typename Vectors<kLanes>::Floats x) {
  using V = Vectors<kLanes>;
  using Floats = typename V::Floats;
  if (quantizer.kind == Quantizer::Kind::kSign) {
    const Floats plus = Floats{} + 1.0f;
    return V::Signs(x, threshold) ? plus : -plus;
  }
  if (quantizer.kind == Quantizer::Kind::kQuant) {
    return __builtin_convertvector(V::Quanta(x, quantizer), Floats) - quantizer.zero;
  }
  return x;
}

template <int kLanes>
void PlanarValueVectors(const Quantizer& quantizer, int64_t channel, const float* x, int64_t count,
                        float* out) {
  using V = Vectors<kLanes>;
  const float threshold =
      quantizer.thresholds ? quantizer.thresholds[channel * quantizer.threshold_step] : 0.0f;
  if (count < kLanes) {
    const typename V::Floats v = PlanarValue<kLanes>(quantizer, threshold, V::LoadSome(x, count));
    for (int i = 0; i < count; ++i) out[i] = v[i];
    return;
  }
  for (int64_t i = 0; i < count; i += kLanes) {
    const int64_t first =
        i + kLanes <= count ? i : count - kLanes;  // the last may overlap the one before
    const typename V::Floats v = PlanarValue<kLanes>(quantizer, threshold, V::Load(x + first));
    __builtin_memcpy(out + first, &v, sizeof(v));
  }
}

// kVectors * kLanes outputs from `first` on, or as many as there are in the row: then some twice.
template <int kLanes, int kVectors>
inline void PlanarOutputs(const PlanarRow& row, int64_t first) {
  using V = Vectors<kLanes>;
  using Floats = typename V::Floats;
  Floats sum[kVectors];
  int64_t start[kVectors];
  ONNXBIN_UNROLL
  for (int v = 0; v < kVectors; ++v) {
    sum[v] = Floats{} + row.bias;
    start[v] = first + (v + 1) * kLanes <= row.count ? first + v * kLanes : row.count - kLanes;
    if (start[v] < 0) start[v] = 0;
  }
  for (int64_t tap = 0; tap < row.taps; ++tap) {
    const float* x = row.x + row.offsets[tap];
    const float w = row.w[tap];
    ONNXBIN_UNROLL
    for (int v = 0; v < kVectors; ++v) sum[v] += V::Load(x + start[v]) * w;
  }
  if (row.count < kLanes) {
    for (int i = 0; i < row.count; ++i) row.out[i] = sum[0][i];
    return;
  }
  ONNXBIN_UNROLL
  for (int v = 0; v < kVectors; ++v) __builtin_memcpy(row.out + start[v], &sum[v], sizeof(sum[v]));
}

template <int kLanes>
void PlanarRowVectors(const PlanarRow& row) {
  static_assert(kLanes <= kPlanarSlack, "short rows read a whole vector");
  for (int64_t i = 0; i < row.count; i += 4 * kLanes) {
    const int64_t left = row.count - i;
    if (left > 3 * kLanes) {
      PlanarOutputs<kLanes, 4>(row, i);
    } else if (left > 2 * kLanes) {
      PlanarOutputs<kLanes, 3>(row, i);
    } else if (left > kLanes) {
      PlanarOutputs<kLanes, 2>(row, i);
    } else {
      PlanarOutputs<kLanes, 1>(row, i);
    }
  }
}

}  // namespace
}  // namespace onnxbin

#endif  // ONNXBIN_KERNELS_PLANAR_ROWS_H_
