// What all AVX-512 families share: steps on 16 lanes, and 16 x 16 floats transposed in registers,
// which is how tiles get from lanes that are channels to rows of pixels. In an unnamed namespace,
// like all that is compiled for one instruction set; see tile_templates.h.
#ifndef ONNXBIN_KERNELS_AVX512_VECTORS_H_
#define ONNXBIN_KERNELS_AVX512_VECTORS_H_

#include <immintrin.h>

#include "kernels/finish_vectors.h"
#include "kernels/kernel_family.h"
#include "kernels/pack_vectors.h"
#include "kernels/tile_templates.h"

namespace onnxbin {
namespace {

// Sums in 16 lanes of 32 bits.
struct Integers16 {
  using Scalar = int32_t;
  using Word = uint32_t;
  using Sum = __m512i;
  using Partial = __m512i;
  using Weights = __m512i;
  using Input = __m512i;
  static constexpr int kLanes = 16, kVectors = 2;

  static Sum Zero() { return _mm512_setzero_si512(); }
  static Partial NoPartial() { return Zero(); }
  static Sum Load(const Scalar* p) { return _mm512_loadu_si512(p); }
  static void Store(Scalar* p, Sum sum) { _mm512_storeu_si512(p, sum); }
  static Weights LoadWeights(const unsigned char* p) { return _mm512_loadu_si512(p); }
  static Input Broadcast(const unsigned char* p) {
    return _mm512_set1_epi32(*reinterpret_cast<const int32_t*>(p));
  }
  static Sum AddSums(Sum a, Sum b) { return _mm512_add_epi32(a, b); }
};

struct Reals12x32 {
  static constexpr Element kElement = Element::kReals;
  using Word = float;
  using Scalar = float;
  using Sum = __m512;
  using Weights = __m512;
  using Input = __m512;
  static constexpr int kWordChannels = 1, kLanes = 16, kVectors = 2, kPixels = 12, kFoldWords = 0;

  static Sum Zero() { return _mm512_setzero_ps(); }
  static Sum Load(const Scalar* p) { return _mm512_loadu_ps(p); }
  static void Store(Scalar* p, Sum sum) { _mm512_storeu_ps(p, sum); }
  static Weights LoadWeights(const unsigned char* p) {
    return Load(reinterpret_cast<const float*>(p));
  }
  static Input Broadcast(const unsigned char* p) {
    return _mm512_set1_ps(*reinterpret_cast<const float*>(p));
  }
  static Sum AddSums(Sum a, Sum b) { return _mm512_add_ps(a, b); }
  static Sum Add(Sum sum, Input x, Weights w) { return _mm512_fmadd_ps(x, w, sum); }

  static Sum LoadSome(const float* p, int64_t count) {
    if (count >= kLanes) return Load(p);
    return _mm512_maskz_loadu_ps(FirstLanes(count), p);
  }
  static void StoreSome(float* p, Sum v, int64_t count) {
    if (count >= kLanes) return Store(p, v);
    _mm512_mask_storeu_ps(p, FirstLanes(count), v);
  }
  static void Separate(Sum a, Sum b, Sum* even, Sum* odd) {
    const __m512i lanes =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    *even = _mm512_permutex2var_ps(a, lanes, b);
    *odd = _mm512_permutex2var_ps(a, _mm512_add_epi32(lanes, _mm512_set1_epi32(1)), b);
  }

 private:
  static __mmask16 FirstLanes(int64_t count) {
    return count >= 16 ? 0xffff : count <= 0 ? 0 : static_cast<__mmask16>((1u << count) - 1);
  }
};

inline void Transpose16(__m512 r[16]) {
  __m512 t[16];
  // Pairs of rows, then 4 x 4 blocks inside each quarter of the registers.
  ONNXBIN_UNROLL
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
  ONNXBIN_UNROLL
  for (int i = 0; i < 16; i += 4) {
    const __m512d a = _mm512_castps_pd(t[i]), b = _mm512_castps_pd(t[i + 1]);
    const __m512d c = _mm512_castps_pd(t[i + 2]), d = _mm512_castps_pd(t[i + 3]);
    r[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
    r[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
    r[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
    r[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
  }
  // The quarters themselves: r[4 i + j] holds rows 4 i .. 4 i + 3 of columns j, j + 4, j + 8, j
  // + 12.
  ONNXBIN_UNROLL
  for (int j = 0; j < 4; ++j) {
    const __m512 low02 = _mm512_shuffle_f32x4(r[j], r[4 + j], 0x88);
    const __m512 low13 = _mm512_shuffle_f32x4(r[j], r[4 + j], 0xdd);
    const __m512 high02 = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0x88);
    const __m512 high13 = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0xdd);
    t[j] = _mm512_shuffle_f32x4(low02, high02, 0x88);
    t[8 + j] = _mm512_shuffle_f32x4(low02, high02, 0xdd);
    t[4 + j] = _mm512_shuffle_f32x4(low13, high13, 0x88);
    t[12 + j] = _mm512_shuffle_f32x4(low13, high13, 0xdd);
  }
  ONNXBIN_UNROLL
  for (int i = 0; i < 16; ++i) r[i] = t[i];
}

// Outputs that are neighbours in memory: those of a row of pixels, 16 lanes transposed in
// registers.
template <typename Step>
void FinishTile16(const void* sums, const Epilogue& epilogue) {
  if (epilogue.pixel_step != 1) return FinishTileVectors<Step>(sums, epilogue);
  const __mmask16 used = static_cast<__mmask16>((1u << epilogue.pixels) - 1);
  for (int first = 0; first < epilogue.lanes; first += 16) {
    const OutputVectors<Step> outputs(sums, epilogue, first);
    __m512 rows[16];
    ONNXBIN_UNROLL
    for (int p = 0; p < 16; ++p) {
      rows[p] = p < Step::kPixels ? outputs(p < epilogue.pixels ? p : 0) : _mm512_setzero_ps();
    }
    ONNXBIN_UNROLL
    for (int p = 0; p < Step::kPixels; p += 4) {
      if (p < epilogue.pixels) Activate<4>(epilogue.activation, rows + p);
    }
    Transpose16(rows);
    float* channel = epilogue.out + first * epilogue.channel_step;
    if (epilogue.lanes - first >= 16) {
      ONNXBIN_UNROLL
      for (int lane = 0; lane < 16; ++lane) {
        _mm512_mask_storeu_ps(channel + lane * epilogue.channel_step, used, rows[lane]);
      }
    } else {
      for (int lane = 0; lane < epilogue.lanes - first; ++lane) {
        _mm512_mask_storeu_ps(channel + lane * epilogue.channel_step, used, rows[lane]);
      }
    }
  }
}

// Channel planes to pixels with their channels side by side, 16 x 16 at a time; some come twice.
inline void PackReals16(const PackJob& job) {
  if (job.count < 16) return PackReals(job);
  float* out = reinterpret_cast<float*>(job.words);
  const int64_t last = job.first + job.count - 16;
  for (int64_t c = 0; c < job.channels; c += 16) {
    const int64_t left = job.channels - c;
    for (int64_t pixel = job.first; pixel < job.first + job.count; pixel += 16) {
      const int64_t first = pixel < last ? pixel : last;
      __m512 rows[16];
      ONNXBIN_UNROLL
      for (int i = 0; i < 16; ++i) {
        const float* x = job.x + (i < left ? c + i : c) * job.plane_pixels + first;
        __builtin_prefetch(x + 64, 0, 2);  // the same channel in the task that follows
        rows[i] = _mm512_loadu_ps(x);
      }
      Transpose16(rows);
      ONNXBIN_UNROLL
      for (int i = 0; i < 16; ++i) {
        Reals12x32::StoreSome(out + (first + i) * job.pixel_words + c, rows[i], left);
      }
    }
  }
}

// The words of 16 pixels are transposed in registers, 16 words at a time: whole vectors for a
// pixel.
template <typename P>
void PackWords16(const PackJob& job) {
  if (job.count < 16) return PackWords<16, P>(job);
  ForVectors<16, P>(job, [&](const int64_t (&first)[P::kVectors]) {
    for (int64_t word = 0; word < job.pixel_words; word += 16) {
      const int64_t left = job.pixel_words - word;
      const int words = left < 16 ? static_cast<int>(left) : 16;
      Vectors<16>::Integers made[16][P::kBitPlanes][P::kVectors];
      for (int i = 0; i < words; ++i) MakeWords<16, P, false>(job, word + i, first, made[i]);
      for (int plane = 0; plane < P::kBitPlanes; ++plane) {
        for (int v = 0; v < P::kVectors; ++v) {
          __m512 rows[16];
          ONNXBIN_UNROLL
          for (int i = 0; i < 16; ++i) rows[i] = (__m512)made[i < words ? i : 0][plane][v];
          Transpose16(rows);
          float* out = reinterpret_cast<float*>(job.words + plane * job.plane_step) +
                       first[v] * job.pixel_words + word;
          ONNXBIN_UNROLL
          for (int i = 0; i < 16; ++i) {
            Reals12x32::StoreSome(out + i * job.pixel_words, rows[i], words);
          }
        }
      }
    }
  });
}

inline void PackBits16(const PackJob& job) {
  if (job.quantizer.kind != Quantizer::Kind::kQuant) return PackWords16<PackedSigns>(job);
  if (job.planes == 2) return PackWords16<PackedPlanes<2>>(job);
  PackWords16<PackedPlanes<4>>(job);
}

}  // namespace
}  // namespace onnxbin

#endif  // ONNXBIN_KERNELS_AVX512_VECTORS_H_
