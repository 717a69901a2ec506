// AVX-512 with VPOPCNTDQ and VNNI (Ice Lake, Zen 4 and later): tiles of 12 pixels x 32 output
// channels, 24 vectors of sums. A step takes 2 loads of weights and 12 broadcasts for 24 vectors of
// work.
#include <immintrin.h>

#include "kernels/cpu_features.h"
#include "kernels/pack_vectors.h"
#include "kernels/planar_rows.h"
#include "kernels/tile_templates.h"
#include "kernels/transpose_avx512.h"

namespace onnxbin {
namespace {

struct Integers {
  using Scalar = int32_t;
  using Sum = __m512i;
  using Weights = __m512i;
  using Input = __m512i;
  static constexpr int kLanes = 16, kVectors = 2, kPixels = 12;

  static Sum Zero() { return _mm512_setzero_si512(); }
  static Sum Load(const Scalar* p) { return _mm512_loadu_si512(p); }
  static void Store(Scalar* p, Sum sum) { _mm512_storeu_si512(p, sum); }
  static Weights LoadWeights(const unsigned char* p) { return _mm512_loadu_si512(p); }
  static Input Broadcast(const unsigned char* p) {
    return _mm512_set1_epi32(*reinterpret_cast<const int32_t*>(p));
  }
  static Sum Twice(Sum sum) { return _mm512_add_epi32(sum, sum); }
};

struct Bits : Integers {
  static constexpr Element kElement = Element::kBits;
  using Word = uint32_t;
  static constexpr int kWordChannels = 32;
  static Sum Add(Sum sum, Input x, Weights w) {
    return _mm512_add_epi32(sum, _mm512_popcnt_epi32(_mm512_xor_si512(x, w)));
  }
};

struct Bytes : Integers {
  static constexpr Element kElement = Element::kBytes;
  using Word = uint32_t;
  static constexpr int kWordChannels = 4;
  static Sum Add(Sum sum, Input x, Weights w) { return _mm512_dpbusd_epi32(sum, x, w); }
};

struct Reals {
  static constexpr Element kElement = Element::kReals;
  using Word = float;
  using Scalar = float;
  using Sum = __m512;
  using Weights = __m512;
  using Input = __m512;
  static constexpr int kWordChannels = 1, kLanes = 16, kVectors = 2, kPixels = 12;

  static Sum Zero() { return _mm512_setzero_ps(); }
  static Sum Load(const Scalar* p) { return _mm512_loadu_ps(p); }
  static void Store(Scalar* p, Sum sum) { _mm512_storeu_ps(p, sum); }
  static Weights LoadWeights(const unsigned char* p) {
    return Load(reinterpret_cast<const float*>(p));
  }
  static Input Broadcast(const unsigned char* p) {
    return _mm512_set1_ps(*reinterpret_cast<const float*>(p));
  }
  static Sum Add(Sum sum, Input x, Weights w) { return _mm512_fmadd_ps(x, w, sum); }
  static Sum Twice(Sum sum) { return sum; }  // reals have one plane
};

constexpr KernelFamily MakeFamily() {
  KernelFamily family{"avx512-popcnt", HasAvx512Popcnt};
  family.bits = MakeTileKernel<Bits>(PackBitVectors<16>, StoreTile16<Bits>);
  family.bytes = MakeTileKernel<Bytes>(PackByteVectors<16>, StoreTile16<Bytes>);
  family.bytes_from = 8;
  family.reals = MakeTileKernel<Reals>(PackReals16, StoreTile16<Reals>);
  family.planar_values = PlanarValueVectors<16>;
  family.planar_row = PlanarRowVectors<16>;
  return family;
}

}  // namespace

extern const KernelFamily kAvx512Popcnt;
const KernelFamily kAvx512Popcnt = MakeFamily();

}  // namespace onnxbin
