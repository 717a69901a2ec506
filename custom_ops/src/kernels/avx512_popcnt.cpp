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

constexpr KernelFamily MakeFamily() {
  KernelFamily family{"avx512-popcnt", HasAvx512Popcnt};
  family.bits = MakeTileKernel<Bits12x32>(PackBits16, FinishTile16<Bits12x32>);
  family.bytes = MakeTileKernel<Bytes12x32>(PackWords16<PackedQuanta<0>>, FinishTile16<Bytes12x32>);
  family.bytes_from = 8;
  family.reals = MakeTileKernel<Reals12x32>(PackReals16, FinishTile16<Reals12x32>);
  family.reals.expand = ExpandSignVectors<16, 2>;
  family.fill_plane = FillPlane<Reals12x32>;
  family.compute_plane = ComputePlane<Reals12x32>;
  return family;
}

}  // namespace

extern const KernelFamily kAvx512Popcnt;
const KernelFamily kAvx512Popcnt = MakeFamily();

}  // namespace onnxbin
