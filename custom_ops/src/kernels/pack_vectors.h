// Packing inputs and expanding weights with the vector types of GCC and Clang: the
// same text for every instruction set, one instruction an operation. In an unnamed namespace, like
// all that is compiled for one instruction set; see tile_templates.h.
#ifndef ONNXBIN_KERNELS_PACK_VECTORS_H_
#define ONNXBIN_KERNELS_PACK_VECTORS_H_

#include "kernels/kernel_family.h"
#include "kernels/tile_templates.h"

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

// What the words of a job hold: bits, or with kBitsPerChannel = 8 whole quanta side by side, less
// kByteZero.
template <Quantizer::Kind kind, int kPlanes, int kBitsPerChannel, int kByteZero = 0>
struct Packing {
  static constexpr Quantizer::Kind kKind = kind;
  static constexpr int kBitPlanes = kPlanes, kBits = kBitsPerChannel, kZero = kByteZero;
  // Vectors of pixels at a time: their words stay in registers.
  static constexpr int kVectors = kPlanes <= 2 ? 4 : 8 / kPlanes;
};
using PackedSigns = Packing<Quantizer::Kind::kSign, 1, 1>;
template <int kPlanes>
using PackedPlanes = Packing<Quantizer::Kind::kQuant, kPlanes, 1>;
template <int kByteZero>
using PackedQuanta = Packing<Quantizer::Kind::kQuant, 1, 8, kByteZero>;

// One word of kLanes pixels from each of `first` on, for each bit-plane. With kSome, the vector is
// not full, and no more than its job.count pixels are read.
template <int kLanes, typename P, bool kSome, int kVectors>
inline void MakeWords(const PackJob& job, int64_t word, const int64_t (&first)[kVectors],
                      typename Vectors<kLanes>::Integers (&words)[P::kBitPlanes][kVectors]) {
  using V = Vectors<kLanes>;
  using Integers = typename V::Integers;
  constexpr int kWordChannels = 32 / P::kBits;
  const Quantizer quantizer = job.quantizer;
  const int64_t first_channel = word * kWordChannels, left = job.channels - first_channel;
  const int channels = left < kWordChannels ? static_cast<int>(left) : kWordChannels;
  const int64_t plane_pixels = job.plane_pixels, count = job.count;
  const float* x = job.x + first_channel * plane_pixels;
  const float* threshold = quantizer.thresholds + first_channel * quantizer.threshold_step;
  Integers made[P::kBitPlanes][kVectors] = {};
  for (int c = 0; c < channels; ++c, x += plane_pixels, threshold += quantizer.threshold_step) {
    ONNXBIN_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      const float* p = x + first[v];
      __builtin_prefetch(p + kVectors * kLanes, 0,
                         2);  // the same channel in the block that follows
      const typename V::Floats values = kSome ? V::LoadSome(p, count) : V::Load(p);
      const int shift = c * P::kBits;
      const int32_t bit = static_cast<int32_t>(1u << shift);
      if constexpr (P::kKind == Quantizer::Kind::kSign) {
        made[0][v] |= V::Signs(values, *threshold) & bit;
      } else {
        const Integers q = V::Quanta(values, quantizer);
        if constexpr (P::kBits > 1) {
          made[0][v] |= (P::kZero == 0 ? q : (q - P::kZero) & 255) << shift;
        } else {
          ONNXBIN_UNROLL
          for (int plane = 0; plane < P::kBitPlanes; ++plane) {
            made[plane][v] |= (q & (1 << plane)) != 0 ? Integers{} + bit : Integers{};
          }
        }
      }
    }
  }
  ONNXBIN_UNROLL
  for (int plane = 0; plane < P::kBitPlanes; ++plane) {
    ONNXBIN_UNROLL
    for (int v = 0; v < kVectors; ++v) words[plane][v] = made[plane][v];
  }
}

// Calls make(first, vectors), where `first` are the first pixels of P::kVectors vectors, for all
// pixels of a job that fill a vector; some come twice.
template <int kLanes, typename P, typename Make>
inline void ForVectors(const PackJob& job, const Make& make) {
  const int64_t last = job.first + job.count - kLanes;
  for (int64_t block = job.first; block < job.first + job.count; block += P::kVectors * kLanes) {
    int64_t first[P::kVectors];
    for (int v = 0; v < P::kVectors; ++v) {
      first[v] = block + v * kLanes < last ? block + v * kLanes : last;
    }
    make(first);
  }
}

template <int kLanes, typename P>
void PackWords(const PackJob& job) {
  using Integers = typename Vectors<kLanes>::Integers;
  const auto store = [&](int64_t word, int plane, int64_t first, const Integers& words) {
    int32_t* out = reinterpret_cast<int32_t*>(job.words + plane * job.plane_step) +
                   first * job.pixel_words + word;
    for (int i = 0; i < kLanes && i < job.count; ++i) out[i * job.pixel_words] = words[i];
  };
  if (job.count < kLanes) {
    for (int64_t word = 0; word < job.pixel_words; ++word) {
      Integers words[P::kBitPlanes][1];
      MakeWords<kLanes, P, true>(job, word, {job.first}, words);
      for (int plane = 0; plane < P::kBitPlanes; ++plane) {
        store(word, plane, job.first, words[plane][0]);
      }
    }
    return;
  }
  ForVectors<kLanes, P>(job, [&](const int64_t (&first)[P::kVectors]) {
    for (int64_t word = 0; word < job.pixel_words; ++word) {
      Integers words[P::kBitPlanes][P::kVectors];
      MakeWords<kLanes, P, false>(job, word, first, words);
      for (int plane = 0; plane < P::kBitPlanes; ++plane) {
        for (int v = 0; v < P::kVectors; ++v) store(word, plane, first[v], words[plane][v]);
      }
    }
  });
}

template <int kLanes>
void PackBitVectors(const PackJob& job) {
  if (job.quantizer.kind != Quantizer::Kind::kQuant) return PackWords<kLanes, PackedSigns>(job);
  if (job.planes == 2) return PackWords<kLanes, PackedPlanes<2>>(job);
  if (job.planes == 4) return PackWords<kLanes, PackedPlanes<4>>(job);
  return PackWords<kLanes, PackedPlanes<8>>(job);
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
