// NEON with the dot product of bytes (Armv8.2 and later: Cortex-A75, Neoverse N1, Apple A11 and
// their successors).
//
// sdot multiplies signed bytes, so the kernel gets quanta less 128; the convolution adds 128 times
// the sum of the signs. (udot, with bits for weights, would do without, but would have to sum up
// the quanta of every window.)
#include "kernels/cpu_features.h"
#include "kernels/neon.h"

namespace onnxbin {
namespace {

struct Bytes6x16 : NeonIntegers {
  static constexpr Element kElement = Element::kBytes;
  static constexpr int kWordChannels = 4, kPixels = 6;
  static constexpr int64_t kFoldWords = 0;
  using Weights = int8x16_t;
  using Input = int8x16_t;

  static Weights LoadWeights(const unsigned char* p) { return vreinterpretq_s8_u8(vld1q_u8(p)); }
  static Input Broadcast(const unsigned char* p) {
    return vreinterpretq_s8_u32(LoadForAllLanes(p));
  }
  static Sum Add(Sum sum, Input x, Weights w) { return vdotq_s32(sum, x, w); }
};

constexpr KernelFamily MakeFamily() {
  KernelFamily family = MakeNeonFamily("neon-dot", HasNeonDot);
  family.bytes =
      MakeTileKernel<Bytes6x16>(PackWords<4, PackedQuanta<128>>, FinishTileVectors<Bytes6x16>);
  family.bytes.byte_zero = 128;
  family.bytes_from = 8;
  return family;
}

}  // namespace

extern const KernelFamily kNeonDot;
const KernelFamily kNeonDot = MakeFamily();

}  // namespace onnxbin
