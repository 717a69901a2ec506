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

struct Bits2x4 {
  static constexpr Element kElement = Element::kBits;
  using Word = uint64_t;
  using Scalar = int32_t;
  using Sum = uint32_t;
  using Weights = uint64_t;
  using Input = uint64_t;
  static constexpr int kWordChannels = 64, kLanes = 1, kVectors = 4, kPixels = 2, kFoldWords = 0;

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
  static Sum AddSums(Sum a, Sum b) { return a + b; }
};

struct Reals4x8 {
  static constexpr Element kElement = Element::kReals;
  using Word = float;
  using Scalar = float;
  static constexpr int kWordChannels = 1, kLanes = 4, kVectors = 2, kPixels = 4, kFoldWords = 0;
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
  static Sum AddSums(Sum a, const Sum& b) {
    for (int i = 0; i < kLanes; ++i) a.lane[i] += b.lane[i];
    return a;
  }
  static Sum Add(Sum sum, Input x, const Weights& w) {
    for (int i = 0; i < kLanes; ++i) sum.lane[i] += x * w.lane[i];
    return sum;
  }
};

// Pixels that are packed at a time.
constexpr int kBlock = 16;

// The quanta of kBlock inputs. Clipped to 0 .. max, cutting off the fraction is the floor; a NaN
// fails the first comparison and becomes 0.
template <Quantizer::Kind kind>
inline void Quantize(const Quantizer& quantizer, int64_t channel, const float* x, uint32_t* q) {
  if constexpr (kind == Quantizer::Kind::kSign) {
    const float threshold = quantizer.thresholds[channel * quantizer.threshold_step];
    for (int i = 0; i < kBlock; ++i) q[i] = x[i] >= threshold ? 1u : 0u;
  } else {
    const float inverse_step = quantizer.inverse_step, zero = quantizer.zero, max = quantizer.max;
    for (int i = 0; i < kBlock; ++i) {
      float r = x[i] * inverse_step;
      r = r + zero;
      r = r + 0.5f;
      r = r > 0.0f ? r : 0.0f;
      r = r < max ? r : max;
      q[i] = static_cast<uint32_t>(static_cast<int32_t>(r));
    }
  }
}

// The inputs of a block: in place, or copied and filled up with zeros where fewer are left.
inline const float* BlockOf(const float* x, int64_t count, float* copy) {
  if (count >= kBlock) return x;
  for (int i = 0; i < kBlock; ++i) copy[i] = i < count ? x[i] : 0.0f;
  return copy;
}

template <Quantizer::Kind kind, int kPlanes>
void PackPlanes(const PackJob& job) {
  for (int64_t first = job.first; first < job.first + job.count; first += kBlock) {
    const int64_t left = job.first + job.count - first;
    const int count = left < kBlock ? static_cast<int>(left) : kBlock;
    for (int64_t word = 0; word < job.pixel_words; ++word) {
      uint64_t words[kPlanes][kBlock] = {};
      const int64_t first_channel = word * 64;
      const int64_t channels_left = job.channels - first_channel;
      const int channels = channels_left < 64 ? static_cast<int>(channels_left) : 64;
      for (int c = 0; c < channels; ++c) {
        float copy[kBlock];
        uint32_t q[kBlock];
        Quantize<kind>(job.quantizer, first_channel + c,
                       BlockOf(job.x + (first_channel + c) * job.plane_pixels + first, left, copy),
                       q);
        for (int plane = 0; plane < kPlanes; ++plane) {
          for (int i = 0; i < kBlock; ++i) {
            words[plane][i] |= static_cast<uint64_t>(q[i] >> plane & 1) << c;
          }
        }
      }
      for (int plane = 0; plane < kPlanes; ++plane) {
        uint64_t* out = reinterpret_cast<uint64_t*>(job.words + plane * job.plane_step);
        for (int i = 0; i < count; ++i) out[(first + i) * job.pixel_words + word] = words[plane][i];
      }
    }
  }
}

void PackBits(const PackJob& job) {
  constexpr Quantizer::Kind kQuant = Quantizer::Kind::kQuant;
  if (job.quantizer.kind != kQuant) return PackPlanes<Quantizer::Kind::kSign, 1>(job);
  if (job.planes == 2) return PackPlanes<kQuant, 2>(job);
  if (job.planes == 4) return PackPlanes<kQuant, 4>(job);
  return PackPlanes<kQuant, 8>(job);
}

void FillPlane(const PlanarInput& input) {
  for (int64_t row = 0; row < input.rows; ++row) {
    float* even = input.even + row * input.out_row;
    float* odd = input.odd ? input.odd + row * input.out_row : nullptr;
    for (int64_t first = 0; first < input.columns; first += kBlock) {
      const int64_t left = input.columns - first;
      float copy[kBlock];
      uint32_t q[kBlock];
      float values[kBlock];
      const float* x = BlockOf(input.x + row * input.x_row + first, left, copy);
      if (input.quantizer.kind == Quantizer::Kind::kReal) {
        for (int i = 0; i < kBlock; ++i) values[i] = x[i];
      } else if (input.quantizer.kind == Quantizer::Kind::kSign) {
        Quantize<Quantizer::Kind::kSign>(input.quantizer, input.channel, x, q);
        for (int i = 0; i < kBlock; ++i) values[i] = q[i] ? 1.0f : -1.0f;
      } else {
        Quantize<Quantizer::Kind::kQuant>(input.quantizer, input.channel, x, q);
        for (int i = 0; i < kBlock; ++i) {
          values[i] = static_cast<float>(static_cast<int32_t>(q[i])) - input.quantizer.zero;
        }
      }
      if (!odd) {
        for (int i = 0; i < kBlock && i < left; ++i) even[first + i] = values[i];
      } else {
        for (int i = 0; i < kBlock && i < left; i += 2) even[(first + i) / 2] = values[i];
        for (int i = 1; i < kBlock && i < left; i += 2) odd[(first + i) / 2] = values[i];
      }
    }
  }
}

void ComputePlane(const PlanarOutput& job) {
  for (int64_t row = 0; row < job.rows; ++row) {
    float* out = job.out + row * job.columns;
    for (int64_t i = 0; i < job.columns; ++i) out[i] = job.bias;
    for (int64_t tap = 0; tap < job.taps; ++tap) {
      const float w = job.w[tap];
      const float* x = job.x + row * job.stride * job.x_row + job.offsets[tap];
      for (int64_t i = 0; i < job.columns; ++i) out[i] += w * x[i];
    }
    for (int64_t i = 0; i < job.columns; ++i) Activate<1>(job.activation, out + i);
  }
}

bool Available() { return true; }

constexpr KernelFamily MakeFamily() {
  KernelFamily family{"portable", Available};
  family.bits = MakeTileKernel<Bits2x4>(PackBits, FinishTile<Bits2x4>);
  family.reals = MakeTileKernel<Reals4x8>(PackReals, FinishTile<Reals4x8>);
  family.reals.expand = ExpandSigns<Reals4x8>;
  family.fill_plane = FillPlane;
  family.compute_plane = ComputePlane;
  return family;
}

}  // namespace

extern const KernelFamily kPortable;
const KernelFamily kPortable = MakeFamily();

}  // namespace onnxbin
