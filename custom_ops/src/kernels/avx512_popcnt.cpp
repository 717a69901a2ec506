// AVX-512 with VPOPCNTDQ, VNNI and VBMI (Ice Lake, Zen 4 and later): tiles of 12 pixels x 32 output
// channels, 24 vectors of sums. A step takes 2 loads of weights and 12 broadcasts for 24 vectors of
// work.
#include <immintrin.h>

#include "kernels/avx512_vectors.h"
#include "kernels/cpu_features.h"
#include "kernels/pack_vectors.h"
#include "kernels/planar_vectors.h"

namespace onnxbin {
namespace {

struct Bits12x32 : Integers16 {
  static constexpr Element kElement = Element::kBits;
  static constexpr int kWordChannels = 32, kPixels = 12, kFoldWords = 0;
  static Sum Add(Sum sum, Input x, Weights w) {
    return _mm512_add_epi32(sum, _mm512_popcnt_epi32(_mm512_xor_si512(x, w)));
  }
};

struct Bytes12x32 : Integers16 {
  static constexpr Element kElement = Element::kBytes;
  static constexpr int kWordChannels = 4, kPixels = 12, kFoldWords = 0;
  static Sum Add(Sum sum, Input x, Weights w) { return _mm512_dpbusd_epi32(sum, x, w); }
};

// The 256 entries in four registers: an instruction looks 64 bytes up in two of them, by their
// lower seven bits.
void LookUpBytes64(const uint8_t* table, const uint8_t* x, int64_t count, uint8_t* y) {
  const __m512i a = _mm512_loadu_si512(table), b = _mm512_loadu_si512(table + 64);
  const __m512i c = _mm512_loadu_si512(table + 128), d = _mm512_loadu_si512(table + 192);
  for (int64_t i = 0; i < count; i += 64) {
    const __mmask64 some = count - i < 64 ? (uint64_t{1} << (count - i)) - 1 : ~uint64_t{0};
    const __m512i v = _mm512_maskz_loadu_epi8(some, x + i);
    const __m512i low = _mm512_permutex2var_epi8(a, v, b);
    const __m512i high = _mm512_permutex2var_epi8(c, v, d);
    _mm512_mask_storeu_epi8(y + i, some, _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(v), high));
  }
}

constexpr KernelFamily MakeFamily() {
  KernelFamily family{"avx512-popcnt", HasAvx512Popcnt};
  family.bits = MakeTileKernel<Bits12x32>(PackBits16, FinishTile16<Bits12x32>);
  family.bytes = MakeTileKernel<Bytes12x32>(PackWords16<PackedQuanta<0>>, FinishTile16<Bytes12x32>);
  family.bytes_from = 8;
  family.reals = MakeTileKernel<Reals12x32>(PackReals16, FinishTile16<Reals12x32>);
  family.reals.expand = ExpandSignVectors<16, 2>;
  family.fill_plane = FillPlane<Reals12x32>;
  family.compute_plane = ComputePlane<Reals12x32>;
  family.look_up = LookUpBytes64;
  return family;
}

}  // namespace

extern const KernelFamily kAvx512Popcnt;
const KernelFamily kAvx512Popcnt = MakeFamily();

}  // namespace onnxbin
