// AVX-512 without VPOPCNTDQ and VNNI (Skylake-X and its kin). Ones are counted as with AVX2, but a
// carry-save adder takes two instructions here.
#include <immintrin.h>

#include "kernels/avx512_vectors.h"
#include "kernels/cpu_features.h"
#include "kernels/harley_seal.h"
#include "kernels/pack_vectors.h"
#include "kernels/planar_vectors.h"

namespace onnxbin {
namespace {

struct Bits8x32 : Integers16 {
  static constexpr Element kElement = Element::kBits;
  static constexpr int kWordChannels = 32, kPixels = 8;
  static constexpr int64_t kFoldWords = 31;  // at most 8 ones a byte: 248

  static Weights Xor(Input x, Weights w) { return _mm512_xor_si512(x, w); }
  static Weights AddUp(Weights a, Weights b, Weights c, Weights* low) {
    const __m512i carry = _mm512_ternarylogic_epi32(a, b, c, 0xe8);  // at least two of three
    *low = _mm512_ternarylogic_epi32(a, b, c, 0x96);                 // an odd number
    return carry;
  }
  static Partial Count(Weights bits) {
    const __m512i ones = _mm512_set4_epi32(0x04030302, 0x03020201, 0x03020201, 0x02010100);
    const __m512i nibble = _mm512_set1_epi8(15);
    const __m512i low = _mm512_shuffle_epi8(ones, _mm512_and_si512(bits, nibble));
    const __m512i high =
        _mm512_shuffle_epi8(ones, _mm512_and_si512(_mm512_srli_epi32(bits, 4), nibble));
    return _mm512_add_epi8(low, high);
  }
  static Partial AddBytes(Partial a, Partial b) { return _mm512_add_epi8(a, b); }
  static Partial Add(Partial partial, Input x, Weights w) {
    return AddBytes(partial, Count(Xor(x, w)));
  }
  static Sum Fold(Sum sum, Partial partial) {
    const __m512i pairs = _mm512_maddubs_epi16(partial, _mm512_set1_epi8(1));
    return AddSums(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
  }
};

struct Bytes8x32 : Integers16 {
  static constexpr Element kElement = Element::kBytes;
  static constexpr int kWordChannels = 4, kPixels = 8;
  static constexpr int64_t kFoldWords = 64;  // sums of two quanta each: 64 * 510 < 2^15

  static Partial Add(Partial partial, Input x, Weights w) {
    return _mm512_add_epi16(partial, _mm512_maddubs_epi16(x, w));
  }
  static Sum Fold(Sum sum, Partial partial) {
    return AddSums(sum, _mm512_madd_epi16(partial, _mm512_set1_epi16(1)));
  }
};

constexpr KernelFamily MakeFamily() {
  KernelFamily family{"avx512-bw", HasAvx512Bw};
  family.bits = MakeTileKernel<Bits8x32>(PackBits16, FinishTile16<Bits8x32>);
  family.bits.run = RunTileOfBits<Bits8x32>;
  family.bytes = MakeTileKernel<Bytes8x32>(PackWords16<PackedQuanta<0>>, FinishTile16<Bytes8x32>);
  family.bytes_from = 8;
  family.reals = MakeTileKernel<Reals12x32>(PackReals16, FinishTile16<Reals12x32>);
  family.reals.expand = ExpandSignVectors<16, 2>;
  family.fill_plane = FillPlane<Reals12x32>;
  family.compute_plane = ComputePlane<Reals12x32>;
  return family;
}

}  // namespace

extern const KernelFamily kAvx512Bw;
const KernelFamily kAvx512Bw = MakeFamily();

}  // namespace onnxbin
