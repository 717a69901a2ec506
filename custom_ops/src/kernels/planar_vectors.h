// Planes of floats for depthwise convolutions and other small groups, written once over the vectors
// of an instruction set: the `Step` of its kernels for reals, which gives beyond what
// tile_templates.h asks of it:
//   LoadSome(p, count)         the first `count` values, then zeros; all from kLanes on, none below
//   1 StoreSome(p, v, count)     the first `count` lanes; all from kLanes on, none below 1
//   Separate(a, b, &even, &odd)  the lanes of `a`, then `b`: 0, 2, 4 .. and 1, 3, 5 ..
// In an unnamed namespace, like all that is compiled for one instruction set.
#ifndef ONNXBIN_KERNELS_PLANAR_VECTORS_H_
#define ONNXBIN_KERNELS_PLANAR_VECTORS_H_

#include "kernels/pack_vectors.h"
#include "kernels/tile_templates.h"

// Where a loaded vector is used several times, GCC may load it again each time.
#if defined(__GNUC__) && defined(__aarch64__)
#define ONNXBIN_IN_REGISTER(vector) __asm__("" : "+w"(vector))
#elif defined(__GNUC__) && defined(__AVX512F__)
#define ONNXBIN_IN_REGISTER(vector) __asm__("" : "+v"(vector))
#else
#define ONNXBIN_IN_REGISTER(vector) __asm__("" : "+x"(vector))
#endif

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

template <typename Step>
void FillPlane(const PlanarInput& input) {
  constexpr int64_t kLanes = Step::kLanes;
  const Quantizer& quantizer = input.quantizer;
  const float threshold =
      quantizer.thresholds ? quantizer.thresholds[input.channel * quantizer.threshold_step] : 0.0f;
  const auto values = [&](const float* x, int64_t count) {
    return PlanarValue<kLanes>(quantizer, threshold, Step::LoadSome(x, count));
  };
  for (int64_t row = 0; row < input.rows; ++row) {
    const float* x = input.x + row * input.x_row;
    float* even = input.even + row * input.out_row;
    if (!input.odd) {
      for (int64_t i = 0; i < input.columns; i += kLanes) {
        const int64_t left = input.columns - i;
        Step::StoreSome(even + i, values(x + i, left), left);
      }
      continue;
    }
    float* odd = input.odd + row * input.out_row;
    for (int64_t i = 0; i < input.columns; i += 2 * kLanes) {
      const int64_t left = input.columns - i;
      typename Step::Sum evens, odds;
      Step::Separate(values(x + i, left), values(x + i + kLanes, left - kLanes), &evens, &odds);
      Step::StoreSome(even + i / 2, evens, (left + 1) / 2);
      Step::StoreSome(odd + i / 2, odds, left / 2);
    }
  }
}

// A block of outputs, from the given row and columns on. Of square windows, kWindow pixels long and
// wide, each vector of inputs is loaded once for all rows that it counts for; kWindow = 0 stands
// for windows of any shape, one row at a time.
template <typename Step, int kWindow, int kStride, int kRows, int kVectors>
inline void PlanarBlock(const PlanarOutput& job, int64_t row, const int64_t (&column)[kVectors]) {
  const auto broadcast = [](const float* p) {
    return Step::Broadcast(reinterpret_cast<const unsigned char*>(p));
  };
  typename Step::Sum sum[kRows][kVectors];
  ONNXBIN_UNROLL
  for (int r = 0; r < kRows; ++r) {
    ONNXBIN_UNROLL
    for (int v = 0; v < kVectors; ++v) sum[r][v] = broadcast(&job.bias);
  }
  const float* x = job.x + row * job.stride * job.x_row;
  if constexpr (kWindow == 0) {
    for (int64_t tap = 0; tap < job.taps; ++tap) {
      const typename Step::Input w = broadcast(job.w + tap);
      ONNXBIN_UNROLL
      for (int v = 0; v < kVectors; ++v) {
        sum[0][v] = Step::Add(sum[0][v], w, Step::Load(x + job.offsets[tap] + column[v]));
      }
    }
  } else {
    ONNXBIN_UNROLL
    for (int i = 0; i < (kRows - 1) * kStride + kWindow; ++i) {
      ONNXBIN_UNROLL
      for (int s = 0; s < kWindow; ++s) {
        ONNXBIN_UNROLL
        for (int v = 0; v < kVectors; ++v) {
          typename Step::Weights in = Step::Load(x + job.offsets[s] + column[v]);
          ONNXBIN_IN_REGISTER(in);
          ONNXBIN_UNROLL
          for (int r = 0; r < kRows; ++r) {
            const int t = i - r * kStride;  // the row of the window
            if (t < 0 || t >= kWindow) continue;
            sum[r][v] = Step::Add(sum[r][v], broadcast(job.w + t * kWindow + s), in);
          }
        }
      }
      x += job.x_row;
    }
  }
  ONNXBIN_UNROLL
  for (int r = 0; r < kRows; ++r) {
    ONNXBIN_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      Step::StoreSome(job.out + (row + r) * job.columns + column[v], sum[r][v], job.columns);
    }
  }
}

// kRows rows of outputs; the last columns may be computed twice.
template <typename Step, int kWindow, int kStride, int kRows>
inline void PlanarRows(const PlanarOutput& job, int64_t row) {
  constexpr int64_t kLanes = Step::kLanes;
  const int64_t last = job.columns > kLanes ? job.columns - kLanes : 0;
  for (int64_t column = 0; column < job.columns; column += 2 * kLanes) {
    const int64_t first = column < last ? column : last;
    const int64_t second = column + kLanes < last ? column + kLanes : last;
    if (first < second) {
      PlanarBlock<Step, kWindow, kStride, kRows, 2>(job, row, {first, second});
    } else {
      PlanarBlock<Step, kWindow, kStride, kRows, 1>(job, row, {first});
    }
  }
}

// Windows of one size, four rows of outputs at a time where there are as many; the last ones may be
// computed twice.
template <typename Step, int kWindow, int kStride>
void PlanarPlane(const PlanarOutput& job) {
  constexpr int kRows = kWindow == 0 ? 1 : 4;
  if (job.rows < kRows) {
    for (int64_t row = 0; row < job.rows; ++row) PlanarRows<Step, kWindow, kStride, 1>(job, row);
    return;
  }
  for (int64_t row = 0; row < job.rows; row += kRows) {
    PlanarRows<Step, kWindow, kStride, kRows>(job,
                                              row + kRows <= job.rows ? row : job.rows - kRows);
  }
}

template <typename Step>
void ComputePlane(const PlanarOutput& job) {
  static_assert(Step::kLanes <= kPlanarSlack, "narrow planes are read a whole vector at a time");
  if (job.window == 3 && job.stride == 1) return PlanarPlane<Step, 3, 1>(job);
  if (job.window == 3 && job.stride == 2) return PlanarPlane<Step, 3, 2>(job);
  if (job.window == 5 && job.stride == 1) return PlanarPlane<Step, 5, 1>(job);
  if (job.window == 5 && job.stride == 2) return PlanarPlane<Step, 5, 2>(job);
  PlanarPlane<Step, 0, 0>(job);
}

}  // namespace
}  // namespace onnxbin

#endif  // ONNXBIN_KERNELS_PLANAR_VECTORS_H_
