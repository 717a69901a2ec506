// Planes of floats for depthwise convolutions and other small groups, written once over the vectors
// of an instruction set. In an unnamed namespace, like all that is compiled for one instruction
// set; see tile_templates.h.
//
// The `Step` of a family's kernels for reals gives, beyond what tile_templates.h asks of it:
//   LoadSome(p, count)           the first `count` values, then zeros; at most a vector, no less
//                                than none
//   StoreSome(p, v, count)       the first `count` lanes, likewise
//   Separate(a, b, &even, &odd)  of the lanes of `a`, then `b`, those at 0, 2, 4 .. and 1, 3, 5 ..
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

template <typename Step, Quantizer::Kind kind>
void FillPlaneOf(const PlanarInput& input) {
  using V = Vectors<Step::kLanes>;
  using Floats = typename V::Floats;
  constexpr int64_t kLanes = Step::kLanes;
  const PlanarInput in = input;  // stores of floats could change what is behind a reference
  const float threshold = kind == Quantizer::Kind::kSign
                              ? in.quantizer.thresholds[in.channel * in.quantizer.threshold_step]
                              : 0.0f;
  const Floats plus = Floats{} + 1.0f;
  const auto values = [&](const float* p, int64_t count) -> Floats {
    const Floats x = Step::LoadSome(p, count);
    if constexpr (kind == Quantizer::Kind::kSign) return V::Signs(x, threshold) ? plus : -plus;
    if constexpr (kind == Quantizer::Kind::kQuant) {
      return __builtin_convertvector(V::Quanta(x, in.quantizer), Floats) - in.quantizer.zero;
    }
    return x;
  };
  for (int64_t row = 0; row < in.rows; ++row) {
    const float* x = in.x + row * in.x_row;
    float* even = in.even + row * in.out_row;
    if (!in.odd) {
      for (int64_t i = 0; i < in.columns; i += kLanes) {
        Step::StoreSome(even + i, values(x + i, in.columns - i), in.columns - i);
      }
      continue;
    }
    float* odd = in.odd + row * in.out_row;
    for (int64_t i = 0; i < in.columns; i += 2 * kLanes) {
      const int64_t left = in.columns - i;
      typename Step::Sum evens, odds;
      Step::Separate(values(x + i, left), values(x + i + kLanes, left - kLanes), &evens, &odds);
      Step::StoreSome(even + i / 2, evens, (left + 1) / 2);
      Step::StoreSome(odd + i / 2, odds, left / 2);
    }
  }
}

template <typename Step>
void FillPlane(const PlanarInput& input) {
  switch (input.quantizer.kind) {
    case Quantizer::Kind::kReal:
      return FillPlaneOf<Step, Quantizer::Kind::kReal>(input);
    case Quantizer::Kind::kSign:
      return FillPlaneOf<Step, Quantizer::Kind::kSign>(input);
    case Quantizer::Kind::kQuant:
      return FillPlaneOf<Step, Quantizer::Kind::kQuant>(input);
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
    Activate<kVectors>(job.activation, sum[r]);
    ONNXBIN_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      Step::StoreSome(job.out + (row + r) * job.columns + column[v], sum[r][v], job.columns);
    }
  }
}

// kRows rows of outputs, kVectors vectors of columns at a time; the last may be computed twice.
template <typename Step, int kWindow, int kStride, int kRows, int kVectors>
inline void PlanarRows(const PlanarOutput& job, int64_t row) {
  constexpr int64_t kLanes = Step::kLanes;
  const int64_t last = job.columns > kLanes ? job.columns - kLanes : 0;
  for (int64_t column = 0; column < job.columns; column += kVectors * kLanes) {
    int64_t columns[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      columns[v] = column + v * kLanes < last ? column + v * kLanes : last;
    }
    if (kVectors == 1 || columns[0] < columns[kVectors - 1]) {
      PlanarBlock<Step, kWindow, kStride, kRows, kVectors>(job, row, columns);
    } else {
      PlanarBlock<Step, kWindow, kStride, kRows, 1>(job, row, {columns[0]});
    }
  }
}

// All rows, kRows at a time where there are as many; the last may be computed twice.
template <typename Step, int kWindow, int kStride, int kRows, int kVectors>
void PlanarPlane(const PlanarOutput& job) {
  if (job.rows < kRows) {
    for (int64_t row = 0; row < job.rows; ++row) {
      PlanarRows<Step, kWindow, kStride, 1, kVectors>(job, row);
    }
    return;
  }
  for (int64_t row = 0; row < job.rows; row += kRows) {
    const int64_t first = row + kRows <= job.rows ? row : job.rows - kRows;
    PlanarRows<Step, kWindow, kStride, kRows, kVectors>(job, first);
  }
}

// Seven or eight vectors of sums stay in registers.
template <typename Step, int kWindow, int kStride>
void SquareWindows(const PlanarOutput& job) {
  if (job.columns <= Step::kLanes) return PlanarPlane<Step, kWindow, kStride, 7, 1>(job);
  PlanarPlane<Step, kWindow, kStride, 4, 2>(job);
}

template <typename Step>
void ComputePlane(const PlanarOutput& job) {
  static_assert(Step::kLanes <= kPlanarSlack, "narrow planes are read a whole vector at a time");
  if (job.window == 3 && job.stride == 1) return SquareWindows<Step, 3, 1>(job);
  if (job.window == 3 && job.stride == 2) return SquareWindows<Step, 3, 2>(job);
  if (job.window == 5 && job.stride == 1) return SquareWindows<Step, 5, 1>(job);
  if (job.window == 5 && job.stride == 2) return SquareWindows<Step, 5, 2>(job);
  PlanarPlane<Step, 0, 0, 1, 2>(job);
}

}  // namespace
}  // namespace onnxbin

#endif  // ONNXBIN_KERNELS_PLANAR_VECTORS_H_
