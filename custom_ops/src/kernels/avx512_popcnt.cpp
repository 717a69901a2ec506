// AVX-512 with VPOPCNTDQ and VNNI (Ice Lake, Zen 4 and later): tiles of 12 pixels x 32 output
// channels, 24 vectors of sums. A step takes 2 loads of weights and 12 broadcasts for 24 vectors of
// work.
#include <immintrin.h>

#include "kernels/avx512_vectors.h"
#include "kernels/cpu_features.h"
#include "kernels/pack_vectors.h"
#include "kernels/planar_vectors.h"

namespace onnxbin {
namespace {

struct Bits : Integers16 {
  static constexpr Element kElement = Element::kBits;
  static constexpr int kWordChannels = 32, kPixels = 12, kFoldWords = 0;
  static Sum Add(Sum sum, Input x, Weights w) {
    return _mm512_add_epi32(sum, _mm512_popcnt_epi32(_mm512_xor_si512(x, w)));
  }
};

struct Bytes : Integers16 {
  static constexpr Element kElement = Element::kBytes;
  static constexpr int kWordChannels = 4, kPixels = 12, kFoldWords = 0;
  static Sum Add(Sum sum, Input x, Weights w) { return _mm512_dpbusd_epi32(sum, x, w); }
};

constexpr KernelFamily MakeFamily() {
  KernelFamily family{"avx512-popcnt", HasAvx512Popcnt};
  family.bits = MakeTileKernel<Bits>(PackBitVectors<16>, StoreTile16<Bits>);
  family.bits.scale = ScaleTileVectors<16, 2>;
  family.bytes = MakeTileKernel<Bytes>(PackBytes16, StoreTile16<Bytes>);
  family.bytes.scale = ScaleTileVectors<16, 2>;
  family.bytes_from = 8;
  family.reals = MakeTileKernel<Reals16>(PackReals16, StoreTile16<Reals16>);
  family.reals.expand = ExpandSignVectors<16, 2>;
  family.fill_plane = FillPlane<Reals16>;
  family.compute_plane = ComputePlane<Reals16>;
  return family;
}

}  // namespace

extern const KernelFamily kAvx512Popcnt;
const KernelFamily kAvx512Popcnt = MakeFamily();

}  // namespace onnxbin
