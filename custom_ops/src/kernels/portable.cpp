// Kernels in standard C++, for every processor: 64-bit words for bits, and arrays that a compiler
// can vectorise for reals. Quanta of 8 bits go through bit-planes.
#include <cstring>

#include "kernels/tile_templates.h"

namespace onnxbin {
namespace {

// The number of ones: sums of 2, 4 and 8 neighbouring bits side by side, then all bytes by a
// product.
inline uint32_t Popcount(uint64_t x) {
  x -= x >> 1 & 0x5555555555555555u;
  x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
  x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
  return static_cast<uint32_t>(x * 0x0101010101010101u >> 56);
}

struct PortableBits {
  static constexpr Element kElement = Element::kBits;
  using Word = uint64_t;
  using Scalar = int32_t;
  using Sum = uint32_t;
  using Weights = uint64_t;
  using Input = uint64_t;
  static constexpr int kWordChannels = 64, kLanes = 1, kVectors = 4, kPixels = 2;

  static Sum Zero() { return 0; }
  static Sum Load(const Scalar* p) { return static_cast<Sum>(*p); }
  static void Store(Scalar* p, Sum sum) { *p = static_cast<Scalar>(sum); }
  static Weights LoadWeights(const unsigned char* p) {
    Weights w;
    std::memcpy(&w, p, sizeof(w));
    return w;
  }
  static Input Broadcast(const unsigned char* p) { return LoadWeights(p); }
  static Sum Add(Sum sum, Input x, Weights w) { return sum + Popcount(x ^ w); }
  static Sum Twice(Sum sum) { return sum + sum; }
};

struct PortableReals {
  static constexpr Element kElement = Element::kReals;
  using Word = float;
  using Scalar = float;
  static constexpr int kWordChannels = 1, kLanes = 4, kVectors = 2, kPixels = 4;
  struct Sum {
    float lane[kLanes];
  };
  using Weights = Sum;
  using Input = float;

  static Sum Zero() { return {}; }
  static Sum Load(const Scalar* p) {
    Sum sum;
    std::memcpy(&sum, p, sizeof(sum));
    return sum;
  }
  static void Store(Scalar* p, const Sum& sum) { std::memcpy(p, &sum, sizeof(sum)); }
  static Weights LoadWeights(const unsigned char* p) {
    return Load(reinterpret_cast<const Scalar*>(p));
  }
  static Input Broadcast(const unsigned char* p) {
    Input x;
    std::memcpy(&x, p, sizeof(x));
    return x;
  }
  static Sum Add(Sum sum, Input x, const Weights& w) {
    for (int i = 0; i < kLanes; ++i) sum.lane[i] += x * w.lane[i];
    return sum;
  }
  static Sum Twice(Sum sum) { return sum; }  // reals have one plane
};

bool Available() { return true; }

constexpr KernelFamily MakeFamily() {
  KernelFamily family{"portable", Available};
  family.bits = MakeTileKernel<PortableBits>();
  family.reals = MakeTileKernel<PortableReals>();
  family.planar_values = PlanarValues;
  family.planar_row = PlanarRowOfAnyStride;
  return family;
}

}  // namespace

extern const KernelFamily kPortable;
const KernelFamily kPortable = MakeFamily();

}  // namespace onnxbin
