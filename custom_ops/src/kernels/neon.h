// What the families of 64-bit Arm share: tiles of 5 or 6 pixels x 16 output channels, 20
// or 24 of 32 vector registers for sums. In an unnamed namespace, like all that is compiled for one
// instruction set; see tile_templates.h.
#ifndef ONNXBIN_KERNELS_NEON_H_
#define ONNXBIN_KERNELS_NEON_H_

#include <arm_neon.h>

#include "kernels/finish_vectors.h"
#include "kernels/pack_vectors.h"
#include "kernels/planar_vectors.h"
#include "kernels/tile_templates.h"

namespace onnxbin {
namespace {

// A word for all lanes in one vector instruction; compilers like to make it two, for the sake of an
// address with an offset.
inline uint32x4_t LoadForAllLanes(const unsigned char* p) {
  uint32x4_t v;
  __asm__("ld1r {%0.4s}, %1" : "=w"(v) : "Q"(*reinterpret_cast<const uint32_t*>(p)));
  return v;
}

struct NeonIntegers {
  using Word = uint32_t;
  using Scalar = int32_t;
  using Sum = int32x4_t;
  static constexpr int kLanes = 4, kVectors = 4;

  static Sum Zero() { return vdupq_n_s32(0); }
  static Sum Load(const Scalar* p) { return vld1q_s32(p); }
  static void Store(Scalar* p, Sum sum) { vst1q_s32(p, sum); }
  static Sum AddSums(Sum a, Sum b) { return vaddq_s32(a, b); }
};

// cnt counts the ones of each byte; counts stay bytes for as many words as fit. Three instructions
// a step.
struct Bits5x16 : NeonIntegers {
  static constexpr Element kElement = Element::kBits;
  static constexpr int kWordChannels = 32, kPixels = 5;
  static constexpr int64_t kFoldWords = 31;  // at most 8 ones a byte: 248
  using Partial = uint8x16_t;
  using Weights = uint8x16_t;
  using Input = uint8x16_t;

  static Partial NoPartial() { return vdupq_n_u8(0); }
  static Weights LoadWeights(const unsigned char* p) { return vld1q_u8(p); }
  static Input Broadcast(const unsigned char* p) {
    return vreinterpretq_u8_u32(LoadForAllLanes(p));
  }
  static Partial Add(Partial partial, Input x, Weights w) {
    return vaddq_u8(partial, vcntq_u8(veorq_u8(x, w)));
  }
  static Sum Fold(Sum sum, Partial partial) {
    return vreinterpretq_s32_u32(vpadalq_u16(vreinterpretq_u32_s32(sum), vpaddlq_u8(partial)));
  }
};

struct Reals5x16 {
  static constexpr Element kElement = Element::kReals;
  using Word = float;
  using Scalar = float;
  using Sum = float32x4_t;
  using Weights = float32x4_t;
  using Input = float32x4_t;
  static constexpr int kWordChannels = 1, kLanes = 4, kVectors = 4, kPixels = 5;
  static constexpr int64_t kFoldWords = 0;

  static Sum Zero() { return vdupq_n_f32(0); }
  static Sum Load(const Scalar* p) { return vld1q_f32(p); }
  static void Store(Scalar* p, Sum sum) { vst1q_f32(p, sum); }
  static Weights LoadWeights(const unsigned char* p) {
    return Load(reinterpret_cast<const float*>(p));
  }
  static Input Broadcast(const unsigned char* p) {
    return vreinterpretq_f32_u32(LoadForAllLanes(p));
  }
  static Sum AddSums(Sum a, Sum b) { return vaddq_f32(a, b); }
  static Sum Add(Sum sum, Input x, Weights w) { return vfmaq_f32(sum, x, w); }

  static Sum LoadSome(const float* p, int64_t count) {
    if (count >= kLanes) return Load(p);
    Sum v = Zero();
    if (count > 0) v = vld1q_lane_f32(p, v, 0);
    if (count > 1) v = vld1q_lane_f32(p + 1, v, 1);
    if (count > 2) v = vld1q_lane_f32(p + 2, v, 2);
    return v;
  }
  static void StoreSome(float* p, Sum v, int64_t count) {
    if (count >= kLanes) return Store(p, v);
    if (count > 0) vst1q_lane_f32(p, v, 0);
    if (count > 1) vst1q_lane_f32(p + 1, v, 1);
    if (count > 2) vst1q_lane_f32(p + 2, v, 2);
  }
  static void Separate(Sum a, Sum b, Sum* even, Sum* odd) {
    *even = vuzp1q_f32(a, b);
    *odd = vuzp2q_f32(a, b);
  }
};

// The 256 entries in 16 registers: an instruction looks 16 bytes up in four of them, and leaves
// those alone that are beyond.
void LookUpBytes16(const uint8_t* table, const uint8_t* x, int64_t count, uint8_t* y) {
  uint8x16x4_t quarters[4];
  for (int i = 0; i < 4; ++i) quarters[i] = vld1q_u8_x4(table + 64 * i);
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    uint8x16_t v = vld1q_u8(x + i);
    uint8x16_t found = vqtbl4q_u8(quarters[0], v);
    for (int quarter = 1; quarter < 4; ++quarter) {
      v = vsubq_u8(v, vdupq_n_u8(64));
      found = vqtbx4q_u8(found, quarters[quarter], v);
    }
    vst1q_u8(y + i, found);
  }
  LookUpBytes(table, x + i, count - i, y + i);
}

constexpr KernelFamily MakeNeonFamily(const char* name, bool (*available)()) {
  KernelFamily family{name, available};
  family.bits = MakeTileKernel<Bits5x16>(PackBitVectors<4>, FinishTileVectors<Bits5x16>);
  family.reals = MakeTileKernel<Reals5x16>(PackReals, FinishTileVectors<Reals5x16>);
  family.reals.expand = ExpandSignVectors<4, 4>;
  family.fill_plane = FillPlane<Reals5x16>;
  family.compute_plane = ComputePlane<Reals5x16>;
  family.look_up = LookUpBytes16;
  return family;
}

}  // namespace
}  // namespace onnxbin

#endif  // ONNXBIN_KERNELS_NEON_H_
