// The kernels of a family, written once over the step that an instruction set does best.
//
// Everything here is in an unnamed namespace and uses nothing of the standard library, because each
// including file is compiled for its own instruction set: a function with a shared name, once
// compiled for a newer processor, could be linked into code that runs on an older one.
//
// A `Step` gives a tile kernel its inner loop:
//   kElement, Word, kWordChannels   what a word is
//   kLanes, kVectors                lanes of a vector and vectors of a panel
//   kPixels                         most pixels of a tile: kVectors * kPixels sums stay in
//   registers Sum, Weights, Input             vector types Zero(), Load(p), Store(p, sum)  a vector
//   of sums LoadWeights(p), Broadcast(p)    a word for each lane; one word for all lanes Add(sum,
//   x, w)                  the step
// Loops over plain arrays are for the compiler to vectorise.
#ifndef ONNXBIN_KERNELS_TILE_TEMPLATES_H_
#define ONNXBIN_KERNELS_TILE_TEMPLATES_H_

#include "kernels/kernel_family.h"

#if defined(__clang__)
#define ONNXBIN_UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define ONNXBIN_UNROLL _Pragma("GCC unroll 16")
#else
#define ONNXBIN_UNROLL
#endif

namespace onnxbin {
namespace {

template <typename Step, int kPixels, int kVectors>
void RunTile(const Tile& tile, void* sums) {
  using Scalar = typename Step::Scalar;
  constexpr int kPanel = Step::kLanes * Step::kVectors;
  constexpr ptrdiff_t kWordBytes = sizeof(typename Step::Word);
  Scalar* out = static_cast<Scalar*>(sums);
  typename Step::Sum sum[kPixels][kVectors];
  ONNXBIN_UNROLL
  for (int p = 0; p < kPixels; ++p) {
    ONNXBIN_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      // Reals add to what is there; integer sums start here.
      sum[p][v] = Step::kElement == Element::kReals
                      ? Step::Load(out + p * kPanel + v * Step::kLanes)
                      : Step::Zero();
    }
  }
  // Horner's rule over the bit-planes, the most significant first.
  for (int plane = tile.planes - 1; plane >= 0; --plane) {
    const unsigned char* x_plane = tile.x + plane * tile.x_plane;
    for (int64_t row = 0; row < tile.rows; ++row) {
      for (int64_t column = 0; column < tile.columns; ++column) {
        const unsigned char* x = x_plane + row * tile.x_row + column * tile.x_column;
        const unsigned char* w = tile.w + row * tile.w_row + column * tile.w_column;
        for (int64_t word = 0; word < tile.words; ++word) {
          typename Step::Weights weights[kVectors];
          ONNXBIN_UNROLL
          for (int v = 0; v < kVectors; ++v) {
            weights[v] = Step::LoadWeights(w + v * Step::kLanes * kWordBytes);
          }
          ONNXBIN_UNROLL
          for (int p = 0; p < kPixels; ++p) {
            const typename Step::Input input = Step::Broadcast(x + p * tile.x_pixel);
            ONNXBIN_UNROLL
            for (int v = 0; v < kVectors; ++v) sum[p][v] = Step::Add(sum[p][v], input, weights[v]);
          }
          x += kWordBytes;
          w += kPanel * kWordBytes;
        }
      }
    }
    if (plane > 0) {
      ONNXBIN_UNROLL
      for (int p = 0; p < kPixels; ++p) {
        ONNXBIN_UNROLL
        for (int v = 0; v < kVectors; ++v) sum[p][v] = Step::Twice(sum[p][v]);
      }
    }
  }
  ONNXBIN_UNROLL
  for (int p = 0; p < kPixels; ++p) {
    ONNXBIN_UNROLL
    for (int v = 0; v < kVectors; ++v) Step::Store(out + p * kPanel + v * Step::kLanes, sum[p][v]);
  }
}

// Calls the tile kernel of exactly tile.pixels pixels and as many vectors as the lanes in use need.
template <typename Step, int kVectors, int kPixels = Step::kPixels>
void RunTileOfPixels(const Tile& tile, void* sums) {
  if constexpr (kPixels > 1) {
    if (tile.pixels < kPixels) return RunTileOfPixels<Step, kVectors, kPixels - 1>(tile, sums);
  }
  RunTile<Step, kPixels, kVectors>(tile, sums);
}

template <typename Step, int kVectors = Step::kVectors>
void RunTileOfAnySize(const Tile& tile, void* sums) {
  if constexpr (kVectors > 1) {
    if (tile.lanes <= (kVectors - 1) * Step::kLanes)
      return RunTileOfAnySize<Step, kVectors - 1>(tile, sums);
  }
  RunTileOfPixels<Step, kVectors>(tile, sums);
}

template <typename Step>
void ScaleTile(const int32_t* sums, int pixels, const Scaling& scaling, float* y) {
  constexpr int kPanel = Step::kLanes * Step::kVectors;
  for (int p = 0; p < pixels; ++p) {
    for (int lane = 0; lane < kPanel; ++lane) {
      const int32_t sum = scaling.base[lane] + scaling.factor * sums[p * kPanel + lane];
      y[p * kPanel + lane] += scaling.scale[lane] * (static_cast<float>(sum) - scaling.zero[lane]);
    }
  }
}

template <typename Step>
void StoreTile(const float* y, int pixels, int lanes, float* out, ptrdiff_t channel_step,
               ptrdiff_t pixel_step) {
  constexpr int kPanel = Step::kLanes * Step::kVectors;
  for (int lane = 0; lane < lanes; ++lane) {
    for (int p = 0; p < pixels; ++p)
      out[lane * channel_step + p * pixel_step] = y[p * kPanel + lane];
  }
}

template <typename Step>
void ExpandSigns(const uint32_t* signs, int64_t signs_step, const float* scale, int64_t scale_step,
                 int64_t bases, int64_t count, float* w) {
  constexpr int kPanel = Step::kLanes * Step::kVectors;
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t first = signs[i];
    for (int lane = 0; lane < kPanel; ++lane) {
      w[i * kPanel + lane] = first >> lane & 1 ? scale[lane] : -scale[lane];
    }
    for (int64_t b = 1; b < bases; ++b) {
      const uint32_t more = signs[b * signs_step + i];
      const float* s = scale + b * scale_step;
      for (int lane = 0; lane < kPanel; ++lane)
        w[i * kPanel + lane] += more >> lane & 1 ? s[lane] : -s[lane];
    }
  }
}

// Pixels that are packed at a time: a vector of the widest instruction set.
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

template <typename Step, Quantizer::Kind kind, int kPlanes, int kBitsPerChannel>
void PackQuanta(const PackJob& job) {
  using Word = typename Step::Word;
  // Bit-planes take one bit of the quantum each; bytes take all of it.
  constexpr uint32_t kMask = kPlanes == 1 && kBitsPerChannel > 1 ? 0xffu : 1u;
  for (int64_t first = job.first; first < job.first + job.count; first += kBlock) {
    const int64_t left = job.first + job.count - first;
    const int count = left < kBlock ? static_cast<int>(left) : kBlock;
    for (int64_t word = 0; word < job.pixel_words; ++word) {
      Word words[kPlanes][kBlock] = {};
      const int64_t first_channel = word * Step::kWordChannels;
      const int64_t channels_left = job.channels - first_channel;
      const int channels = channels_left < Step::kWordChannels ? static_cast<int>(channels_left)
                                                               : Step::kWordChannels;
      for (int c = 0; c < channels; ++c) {
        float copy[kBlock];
        uint32_t q[kBlock];
        Quantize<kind>(job.quantizer, first_channel + c,
                       BlockOf(job.x + (first_channel + c) * job.plane_pixels + first, left, copy),
                       q);
        for (int plane = 0; plane < kPlanes; ++plane) {
          for (int i = 0; i < kBlock; ++i) {
            words[plane][i] |= static_cast<Word>(q[i] >> plane & kMask) << (c * kBitsPerChannel);
          }
        }
      }
      for (int plane = 0; plane < kPlanes; ++plane) {
        unsigned char* out = job.words + plane * job.plane_step;
        for (int i = 0; i < count; ++i) {
          reinterpret_cast<Word*>(out)[(first + i) * job.pixel_words + word] = words[plane][i];
        }
      }
    }
  }
}

template <typename Step>
void PackBits(const PackJob& job) {
  constexpr Quantizer::Kind kQuant = Quantizer::Kind::kQuant;
  if (job.quantizer.kind == Quantizer::Kind::kSign)
    return PackQuanta<Step, Quantizer::Kind::kSign, 1, 1>(job);
  if (job.planes == 2) return PackQuanta<Step, kQuant, 2, 1>(job);
  if (job.planes == 4) return PackQuanta<Step, kQuant, 4, 1>(job);
  return PackQuanta<Step, kQuant, 8, 1>(job);
}

template <typename Step>
void PackBytes(const PackJob& job) {
  PackQuanta<Step, Quantizer::Kind::kQuant, 1, 8>(job);
}

template <typename Step>
void PackReals(const PackJob& job) {
  float* out = reinterpret_cast<float*>(job.words);
  for (int64_t first = job.first; first < job.first + job.count; first += kBlock) {
    const int64_t left = job.first + job.count - first;
    const int count = left < kBlock ? static_cast<int>(left) : kBlock;
    for (int64_t c = 0; c < job.channels; ++c) {
      const float* x = job.x + c * job.plane_pixels + first;
      for (int i = 0; i < count; ++i) out[(first + i) * job.pixel_words + c] = x[i];
    }
  }
}

template <typename Step>
constexpr TileKernel MakeTileKernel() {
  TileKernel kernel{};
  kernel.element = Step::kElement;
  kernel.panel = Step::kLanes * Step::kVectors;
  kernel.pixels = Step::kPixels;
  kernel.word_channels = Step::kWordChannels;
  kernel.word_bytes = sizeof(typename Step::Word);
  static_assert(Step::kLanes * Step::kVectors <= kMaxPanel && Step::kPixels <= kMaxPixels,
                "see kernel_family.h");
  if constexpr (Step::kElement == Element::kBits) {
    kernel.pack = PackBits<Step>;
  } else if constexpr (Step::kElement == Element::kBytes) {
    kernel.pack = PackBytes<Step>;
  } else {
    kernel.pack = PackReals<Step>;
    kernel.expand = ExpandSigns<Step>;
  }
  kernel.run = RunTileOfAnySize<Step>;
  kernel.scale = ScaleTile<Step>;
  kernel.store = StoreTile<Step>;
  return kernel;
}

inline void PlanarValues(const Quantizer& quantizer, int64_t channel, const float* x, int64_t count,
                         float* out) {
  for (int64_t first = 0; first < count; first += kBlock) {
    float copy[kBlock];
    uint32_t q[kBlock];
    float values[kBlock];
    const float* block = BlockOf(x + first, count - first, copy);
    if (quantizer.kind == Quantizer::Kind::kReal) {
      for (int i = 0; i < kBlock; ++i) values[i] = block[i];
    } else if (quantizer.kind == Quantizer::Kind::kSign) {
      Quantize<Quantizer::Kind::kSign>(quantizer, channel, block, q);
      for (int i = 0; i < kBlock; ++i) values[i] = q[i] ? 1.0f : -1.0f;
    } else {
      Quantize<Quantizer::Kind::kQuant>(quantizer, channel, block, q);
      for (int i = 0; i < kBlock; ++i) {
        values[i] = static_cast<float>(static_cast<int32_t>(q[i])) - quantizer.zero;
      }
    }
    const int64_t left = count - first;
    for (int i = 0; i < kBlock && i < left; ++i) out[first + i] = values[i];
  }
}

// kCount outputs at a time, their sums in registers over all taps.
template <int kCount, bool kDense>
inline void PlanarOutputs(const PlanarRow& row, int64_t first) {
  float sum[kCount];
  for (int i = 0; i < kCount; ++i) sum[i] = row.bias;
  const ptrdiff_t stride = kDense ? 1 : static_cast<ptrdiff_t>(row.stride);
  const float* w = row.w;
  for (int64_t c = 0; c < row.channels; ++c) {
    for (int64_t r = 0; r < row.rows; ++r) {
      const float* x = row.x + c * row.x_channel + r * row.x_row + first * stride;
      for (int64_t s = 0; s < row.columns; ++s, ++w, x += row.x_column) {
        for (int i = 0; i < kCount; ++i) sum[i] += *w * x[i * stride];
      }
    }
  }
  for (int i = 0; i < kCount; ++i) row.out[first + i] = sum[i];
}

template <bool kDense>
inline void PlanarRowOfStride(const PlanarRow& row) {
  int64_t i = 0;
  for (; i + 64 <= row.count; i += 64) PlanarOutputs<64, kDense>(row, i);
  for (; i + 16 <= row.count; i += 16) PlanarOutputs<16, kDense>(row, i);
  for (; i + 4 <= row.count; i += 4) PlanarOutputs<4, kDense>(row, i);
  for (; i < row.count; ++i) PlanarOutputs<1, kDense>(row, i);
}

inline void PlanarRowOfAnyStride(const PlanarRow& row) {
  if (row.stride == 1) return PlanarRowOfStride<true>(row);
  PlanarRowOfStride<false>(row);
}

}  // namespace
}  // namespace onnxbin

#endif  // ONNXBIN_KERNELS_TILE_TEMPLATES_H_
