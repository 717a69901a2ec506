// AVX2 and FMA (Haswell, Zen and later): 16 vector registers, for tiles of 4 or 6 pixels x 16
// output channels.
//
// There is no instruction that counts ones: a shuffle looks nibbles up in a table of 16 (W. Mula,
// N. Kurz, D. Lemire, "Faster Population Counts Using AVX2 Instructions", 2018). Counts stay bytes,
// and products of bytes 16-bit numbers, for as many words as fit.
#include <immintrin.h>

#include "kernels/cpu_features.h"
#include "kernels/finish_vectors.h"
#include "kernels/harley_seal.h"
#include "kernels/pack_vectors.h"
#include "kernels/planar_vectors.h"
#include "kernels/tile_templates.h"

namespace onnxbin {
namespace {

struct Integers {
  using Word = uint32_t;
  using Scalar = int32_t;
  using Sum = __m256i;
  using Partial = __m256i;
  using Weights = __m256i;
  using Input = __m256i;
  static constexpr int kLanes = 8, kVectors = 2;

  static Sum Zero() { return _mm256_setzero_si256(); }
  static Partial NoPartial() { return Zero(); }
  static Sum Load(const Scalar* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static void Store(Scalar* p, Sum sum) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), sum); }
  static Weights LoadWeights(const unsigned char* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static Input Broadcast(const unsigned char* p) {
    return _mm256_set1_epi32(*reinterpret_cast<const int32_t*>(p));
  }
  static Sum AddSums(Sum a, Sum b) { return _mm256_add_epi32(a, b); }
};

struct Bits4x16 : Integers {
  static constexpr Element kElement = Element::kBits;
  static constexpr int kWordChannels = 32, kPixels = 4;
  static constexpr int64_t kFoldWords = 31;  // at most 8 ones a byte: 248

  static Weights Xor(Input x, Weights w) { return _mm256_xor_si256(x, w); }
  static Weights AddUp(Weights a, Weights b, Weights c, Weights* low) {
    const __m256i odd = _mm256_xor_si256(b, c);  // a, the running sum, comes in as late as it can
    *low = _mm256_xor_si256(odd, a);
    return _mm256_or_si256(_mm256_and_si256(b, c), _mm256_and_si256(odd, a));
  }
  static Partial Count(Weights bits) {
    const __m256i ones = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                          0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i low = _mm256_shuffle_epi8(ones, _mm256_and_si256(bits, nibble));
    const __m256i high =
        _mm256_shuffle_epi8(ones, _mm256_and_si256(_mm256_srli_epi32(bits, 4), nibble));
    return _mm256_add_epi8(low, high);
  }
  static Partial AddBytes(Partial a, Partial b) { return _mm256_add_epi8(a, b); }
  static Partial Add(Partial partial, Input x, Weights w) {
    return AddBytes(partial, Count(Xor(x, w)));
  }
  static Sum Fold(Sum sum, Partial partial) {
    const __m256i pairs = _mm256_maddubs_epi16(partial, _mm256_set1_epi8(1));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

struct Bytes4x16 : Integers {
  static constexpr Element kElement = Element::kBytes;
  static constexpr int kWordChannels = 4, kPixels = 4;
  static constexpr int64_t kFoldWords = 64;  // sums of two quanta each: 64 * 510 < 2^15

  static Partial Add(Partial partial, Input x, Weights w) {
    return _mm256_add_epi16(partial, _mm256_maddubs_epi16(x, w));
  }
  static Sum Fold(Sum sum, Partial partial) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(partial, _mm256_set1_epi16(1)));
  }
};

struct Reals6x16 {
  static constexpr Element kElement = Element::kReals;
  using Word = float;
  using Scalar = float;
  using Sum = __m256;
  using Weights = __m256;
  using Input = __m256;
  static constexpr int kWordChannels = 1, kLanes = 8, kVectors = 2, kPixels = 6;
  static constexpr int64_t kFoldWords = 0;

  static Sum Zero() { return _mm256_setzero_ps(); }
  static Sum Load(const Scalar* p) { return _mm256_loadu_ps(p); }
  static void Store(Scalar* p, Sum sum) { _mm256_storeu_ps(p, sum); }
  static Weights LoadWeights(const unsigned char* p) {
    return Load(reinterpret_cast<const float*>(p));
  }
  static Input Broadcast(const unsigned char* p) {
    return _mm256_broadcast_ss(reinterpret_cast<const float*>(p));
  }
  static Sum AddSums(Sum a, Sum b) { return _mm256_add_ps(a, b); }
  static Sum Add(Sum sum, Input x, Weights w) { return _mm256_fmadd_ps(x, w, sum); }

  static Sum LoadSome(const float* p, int64_t count) {
    if (count >= kLanes) return Load(p);
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const int some = count < 0 ? 0 : static_cast<int>(count);
    return _mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(some), lanes));
  }
  // In halves: masked stores are slow where AVX2 is all there is.
  static void StoreSome(float* p, Sum v, int64_t count) {
    if (count >= kLanes) return Store(p, v);
    if (count <= 0) return;
    __m128 rest = _mm256_castps256_ps128(v);
    if (count & 4) {
      _mm_storeu_ps(p, rest);
      rest = _mm256_extractf128_ps(v, 1);
      p += 4;
    }
    if (count & 2) {
      _mm_storel_pi(reinterpret_cast<__m64*>(p), rest);
      rest = _mm_movehl_ps(rest, rest);
      p += 2;
    }
    if (count & 1) _mm_store_ss(p, rest);
  }
  static void Separate(Sum a, Sum b, Sum* even, Sum* odd) {
    const __m256 evens = _mm256_shuffle_ps(a, b, 0x88), odds = _mm256_shuffle_ps(a, b, 0xdd);
    *even = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(evens), 0xd8));
    *odd = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(odds), 0xd8));
  }
};

// Outputs that are neighbours in memory: four pixels of eight lanes are transposed in registers,
// 4 x 4 floats in each half.
template <typename Step>
void FinishTile8(const void* sums, const Epilogue& epilogue) {
  constexpr int kPanel = Step::kLanes * Step::kVectors;
  if (epilogue.pixel_step != 1 || epilogue.lanes != kPanel || epilogue.pixels < 4) {
    return FinishTileVectors<Step>(sums, epilogue);
  }
  for (int lane = 0; lane < kPanel; lane += 8) {
    const OutputVectors<Step> outputs(sums, epilogue, lane);
    for (int four = 0; four < epilogue.pixels; four += 4) {
      const int p = four + 4 <= epilogue.pixels ? four : epilogue.pixels - 4;  // some twice
      __m256 rows[4] = {outputs(p), outputs(p + 1), outputs(p + 2), outputs(p + 3)};
      Activate<4>(epilogue.activation, rows);
      const __m256 low01 = _mm256_unpacklo_ps(rows[0], rows[1]);
      const __m256 low23 = _mm256_unpacklo_ps(rows[2], rows[3]);
      const __m256 high01 = _mm256_unpackhi_ps(rows[0], rows[1]);
      const __m256 high23 = _mm256_unpackhi_ps(rows[2], rows[3]);
      const __m256 columns[4] = {
          _mm256_shuffle_ps(low01, low23, 0x44), _mm256_shuffle_ps(low01, low23, 0xee),
          _mm256_shuffle_ps(high01, high23, 0x44), _mm256_shuffle_ps(high01, high23, 0xee)};
      float* to = epilogue.out + lane * epilogue.channel_step + p;
      for (int i = 0; i < 4; ++i) {
        _mm_storeu_ps(to + i * epilogue.channel_step, _mm256_castps256_ps128(columns[i]));
        _mm_storeu_ps(to + (i + 4) * epilogue.channel_step, _mm256_extractf128_ps(columns[i], 1));
      }
    }
  }
}

constexpr KernelFamily MakeFamily() {
  KernelFamily family{"avx2", HasAvx2};
  family.bits = MakeTileKernel<Bits4x16>(PackBitVectors<8>, FinishTile8<Bits4x16>);
  family.bits.run = RunTileOfBits<Bits4x16>;
  family.bytes = MakeTileKernel<Bytes4x16>(PackWords<8, PackedQuanta<0>>, FinishTile8<Bytes4x16>);
  family.bytes_from = 4;
  family.reals = MakeTileKernel<Reals6x16>(PackReals, FinishTile8<Reals6x16>);
  family.reals.expand = ExpandSignVectors<8, 2>;
  family.fill_plane = FillPlane<Reals6x16>;
  family.compute_plane = ComputePlane<Reals6x16>;
  return family;
}

}  // namespace

extern const KernelFamily kAvx2;
const KernelFamily kAvx2 = MakeFamily();

}  // namespace onnxbin
