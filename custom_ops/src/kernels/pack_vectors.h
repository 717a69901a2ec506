// Packing inputs and expanding weights with the vector types of GCC and Clang: the
// same text for every instruction set, one instruction an operation. In an unnamed namespace, like
// all that is compiled for one instruction set; see tile_templates.h.
#ifndef ONNXBIN_KERNELS_PACK_VECTORS_H_
#define ONNXBIN_KERNELS_PACK_VECTORS_H_

#include "kernels/kernel_family.h"

namespace onnxbin {
namespace {

// GCC wants the sizes spelt out.
template <int kLanes>
struct VectorTypes;
template <>
struct VectorTypes<4> {
  typedef float Floats __attribute__((vector_size(16)));
  typedef int32_t Integers __attribute__((vector_size(16)));
};
template <>
struct VectorTypes<8> {
  typedef float Floats __attribute__((vector_size(32)));
  typedef int32_t Integers __attribute__((vector_size(32)));
};
template <>
struct VectorTypes<16> {
  typedef float Floats __attribute__((vector_size(64)));
  typedef int32_t Integers __attribute__((vector_size(64)));
};

template <int kLanes>
struct Vectors {
  using Floats = typename VectorTypes<kLanes>::Floats;
  using Integers = typename VectorTypes<kLanes>::Integers;

  static Floats Load(const float* p) {
    Floats v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v;
  }
  // The first `count` values, then zeros: nothing beyond them is read.
  static Floats LoadSome(const float* p, int64_t count) {
    Floats v = {};
    for (int i = 0; i < kLanes && i < count; ++i) v[i] = p[i];
    return v;
  }

  // All bits set where the input counts as +1; not for a NaN.
  static Integers Signs(Floats x, float threshold) { return x >= threshold; }

  // Clipped to 0 .. max, cutting off the fraction is the floor; a NaN fails the first comparison,
  // becomes 0.
  static Integers Quanta(Floats x, const Quantizer& quantizer) {
    Floats r = x * quantizer.inverse_step;
    r = r + quantizer.zero;
    r = r + 0.5f;
    const Floats least = {}, most = least + quantizer.max;
    r = r > least ? r : least;
    r = r < most ? r : most;
    return __builtin_convertvector(r, Integers);
  }
};

// One word of kLanes pixels from `first` on, for each bit-plane: bits, or with kBitsPerChannel = 8
// whole quanta side by side, less kByteZero. Of less than kLanes pixels no more are read.
template <int kLanes, Quantizer::Kind kind, int kPlanes, int kBitsPerChannel, int kByteZero = 0>
inline void MakeWords(const PackJob& job, int64_t word, int64_t first, int64_t pixels,
                      typename Vectors<kLanes>::Integers (&words)[kPlanes]) {
  using V = Vectors<kLanes>;
  using Integers = typename V::Integers;
  constexpr int kWordChannels = 32 / kBitsPerChannel;
  const int64_t first_channel = word * kWordChannels;
  const int64_t left = job.channels - first_channel;
  const int channels = left < kWordChannels ? static_cast<int>(left) : kWordChannels;
  const float* x = job.x + first_channel * job.plane_pixels + first;
  for (int plane = 0; plane < kPlanes; ++plane) words[plane] = Integers{};
  for (int c = 0; c < channels; ++c, x += job.plane_pixels) {
    __builtin_prefetch(x + 64, 0, 2);  // the same channel in the task that follows
    const typename V::Floats v = pixels < kLanes ? V::LoadSome(x, pixels) : V::Load(x);
    const int32_t bit = static_cast<int32_t>(1u << (c * kBitsPerChannel));
    if constexpr (kind == Quantizer::Kind::kSign) {
      const Quantizer& quantizer = job.quantizer;
      words[0] |=
          V::Signs(v, quantizer.thresholds[(first_channel + c) * quantizer.threshold_step]) & bit;
    } else {
      const Integers q = V::Quanta(v, job.quantizer);
      if constexpr (kBitsPerChannel > 1) {
        const Integers byte = kByteZero == 0 ? q : (q - kByteZero) & 255;
        words[0] |= byte << (c * kBitsPerChannel);
      } else {
        for (int plane = 0; plane < kPlanes; ++plane) {
          words[plane] |= (q & (1 << plane)) != 0 ? Integers{} + bit : Integers{};
        }
      }
    }
  }
}

template <int kLanes, Quantizer::Kind kind, int kPlanes, int kBitsPerChannel, int kByteZero = 0>
void PackWords(const PackJob& job) {
  for (int64_t word = 0; word < job.pixel_words; ++word) {
    for (int64_t first = job.first; first < job.first + job.count; first += kLanes) {
      const int64_t pixels = job.first + job.count - first;
      typename Vectors<kLanes>::Integers words[kPlanes];
      MakeWords<kLanes, kind, kPlanes, kBitsPerChannel, kByteZero>(job, word, first, pixels, words);
      for (int plane = 0; plane < kPlanes; ++plane) {
        int32_t* out = reinterpret_cast<int32_t*>(job.words + plane * job.plane_step) +
                       first * job.pixel_words + word;
        for (int i = 0; i < kLanes && i < pixels; ++i) out[i * job.pixel_words] = words[plane][i];
      }
    }
  }
}

template <int kLanes>
void PackBitVectors(const PackJob& job) {
  constexpr Quantizer::Kind kQuant = Quantizer::Kind::kQuant;
  if (job.quantizer.kind != kQuant) return PackWords<kLanes, Quantizer::Kind::kSign, 1, 1>(job);
  if (job.planes == 2) return PackWords<kLanes, kQuant, 2, 1>(job);
  if (job.planes == 4) return PackWords<kLanes, kQuant, 4, 1>(job);
  return PackWords<kLanes, kQuant, 8, 1>(job);
}

template <int kLanes>
void PackByteVectors(const PackJob& job) {
  PackWords<kLanes, Quantizer::Kind::kQuant, 1, 8>(job);
}

template <int kLanes>
void PackSignedByteVectors(const PackJob& job) {
  PackWords<kLanes, Quantizer::Kind::kQuant, 1, 8, 128>(job);
}

// A float and its sign are one exclusive or apart: the complement of a sign bit, shifted to bit 31.
template <int kLanes, int kVectors>
void ExpandSignVectors(const uint32_t* signs, int64_t signs_step, const float* scale,
                       int64_t scale_step, int64_t bases, int64_t count, float* w) {
  using V = Vectors<kLanes>;
  using Integers = typename V::Integers;
  using Floats = typename V::Floats;
  Integers to_top[kVectors];
  for (int i = 0; i < kLanes * kVectors; ++i) to_top[i / kLanes][i % kLanes] = 31 - i;
  for (int64_t b = 0; b < bases; ++b) {
    Integers plus[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      plus[v] = (Integers)V::Load(scale + b * scale_step + v * kLanes);
    }
    for (int64_t i = 0; i < count; ++i) {
      const int32_t minus = static_cast<int32_t>(~signs[b * signs_step + i]);
      for (int v = 0; v < kVectors; ++v) {
        float* out = w + (i * kVectors + v) * kLanes;
        const Integers top = ((Integers{} + minus) << to_top[v]) & INT32_MIN;
        Floats sum = (Floats)(plus[v] ^ top);
        if (b > 0) sum += V::Load(out);
        __builtin_memcpy(out, &sum, sizeof(sum));
      }
    }
  }
}

}  // namespace
}  // namespace onnxbin

#endif  // ONNXBIN_KERNELS_PACK_VECTORS_H_
