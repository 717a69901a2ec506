// The kernels of a family, written once over the step that an instruction set does best.
//
// Everything here is in an unnamed namespace and calls no function of the standard library, because
// each including file is compiled for its own instruction set: a function with a shared name, once
// compiled for a newer processor, could be linked into code that runs on an older one.
//
// A `Step` gives a tile kernel its inner loop, and is named by what a word is and by its tile:
// Bits12x32 is 12 pixels by 32 output channels. It has
//   kElement, Word, kWordChannels  what a word is
//   kLanes, kVectors, kPixels      lanes of a vector, vectors of a panel, most pixels of a tile:
//                                  kVectors * kPixels vectors of sums stay in registers
//   Scalar, Sum                    a sum, and a vector of them
//   Zero, Load, Store, AddSums     for vectors of sums
//   Weights, LoadWeights(p)        a word for each lane
//   Input, Broadcast(p)            one word for all lanes
//   Add(sum, x, w)                 the step
//   kFoldWords                     0, or the words after which sums of a step would overflow: they
//                                  are Partial then; NoPartial() is 0, Fold(sum, partial) adds up
// Loops over plain arrays are for the compiler to vectorise.
#ifndef ONNXBIN_KERNELS_TILE_TEMPLATES_H_
#define ONNXBIN_KERNELS_TILE_TEMPLATES_H_

#include <utility>

#include "kernels/activate.h"
#include "kernels/kernel_family.h"

#if defined(__GNUC__)
#define ONNXBIN_PREFETCH(p) __builtin_prefetch(p, 0, 2)
#else
#define ONNXBIN_PREFETCH(p) ((void)0)
#endif

namespace onnxbin {
namespace {

// `count` words of one tap, or of several that are neighbours.
template <typename Step, int kPixels, int kVectors, typename Partial>
inline void AddWords(const Tile& tile, const unsigned char* x, const unsigned char* w,
                     int64_t count, Partial (&sum)[kPixels][kVectors]) {
  constexpr ptrdiff_t kWordBytes = sizeof(typename Step::Word);
  const ptrdiff_t x_word = Step::kElement == Element::kReals ? tile.x_word : kWordBytes;
  for (int64_t word = 0; word < count; ++word) {
    typename Step::Weights weights[kVectors];
    ONNXBIN_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      weights[v] = Step::LoadWeights(w + v * Step::kLanes * kWordBytes);
    }
    // Nothing but the processor's guess would fetch the next tile's pixels from far planes.
    if (x_word != kWordBytes) ONNXBIN_PREFETCH(x + 2 * kPixels * tile.x_pixel);
    ONNXBIN_UNROLL
    for (int p = 0; p < kPixels; ++p) {
      const typename Step::Input input = Step::Broadcast(x + p * tile.x_pixel);
      ONNXBIN_UNROLL
      for (int v = 0; v < kVectors; ++v) sum[p][v] = Step::Add(sum[p][v], input, weights[v]);
    }
    x += x_word;
    w += Step::kLanes * Step::kVectors * kWordBytes;
  }
}

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
      sum[p][v] = Step::Zero();
    }
  }
  // Horner's rule over the bit-planes, the most significant first.
  for (int plane = tile.planes - 1; plane >= 0; --plane) {
    const unsigned char* x_plane = tile.x + plane * tile.x_plane;
    for (int64_t row = 0; row < tile.rows; ++row) {
      for (int64_t column = 0; column < tile.columns; ++column) {
        const unsigned char* x = x_plane + row * tile.x_row + column * tile.x_column;
        const unsigned char* w = tile.w + row * tile.w_row + column * tile.w_column;
        if constexpr (Step::kFoldWords == 0) {
          AddWords<Step>(tile, x, w, tile.words, sum);
        } else {
          for (int64_t left = tile.words; left > 0; left -= Step::kFoldWords) {
            typename Step::Partial partial[kPixels][kVectors];
            ONNXBIN_UNROLL
            for (int p = 0; p < kPixels; ++p) {
              ONNXBIN_UNROLL
              for (int v = 0; v < kVectors; ++v) partial[p][v] = Step::NoPartial();
            }
            AddWords<Step>(tile, x, w, left < Step::kFoldWords ? left : Step::kFoldWords, partial);
            ONNXBIN_UNROLL
            for (int p = 0; p < kPixels; ++p) {
              ONNXBIN_UNROLL
              for (int v = 0; v < kVectors; ++v) sum[p][v] = Step::Fold(sum[p][v], partial[p][v]);
            }
            x += Step::kFoldWords * kWordBytes;
            w += Step::kFoldWords * kPanel * kWordBytes;
          }
        }
      }
    }
    if (plane > 0) {
      ONNXBIN_UNROLL
      for (int p = 0; p < kPixels; ++p) {
        ONNXBIN_UNROLL
        for (int v = 0; v < kVectors; ++v) sum[p][v] = Step::AddSums(sum[p][v], sum[p][v]);
      }
    }
  }
  ONNXBIN_UNROLL
  for (int p = 0; p < kPixels; ++p) {
    ONNXBIN_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      Scalar* to = out + p * kPanel + v * Step::kLanes;
      if constexpr (Step::kElement == Element::kReals) {
        if (tile.add) sum[p][v] = Step::AddSums(sum[p][v], Step::Load(to));
      }
      Step::Store(to, sum[p][v]);
    }
  }
}

// The tile kernels of 1 .. kPixels pixels and as many vectors.
template <typename Step, int kVectors,
          typename Pixels = std::make_integer_sequence<int, Step::kPixels>>
struct TilesOfAnyLength;
template <typename Step, int kVectors, int... kIndex>
struct TilesOfAnyLength<Step, kVectors, std::integer_sequence<int, kIndex...>> {
  static constexpr void (*kRun[])(const Tile&, void*) = {RunTile<Step, kIndex + 1, kVectors>...};
};

// Calls the tile kernel of exactly tile.pixels pixels and as many vectors as the lanes in use need.
template <typename Step, int kVectors = Step::kVectors>
void RunTileOfAnySize(const Tile& tile, void* sums) {
  if constexpr (kVectors > 1) {
    if (tile.lanes <= (kVectors - 1) * Step::kLanes) {
      return RunTileOfAnySize<Step, kVectors - 1>(tile, sums);
    }
  }
  TilesOfAnyLength<Step, kVectors>::kRun[tile.pixels - 1](tile, sums);
}

// The output of one pixel and lane.
template <typename Step>
inline float OutputOf(const typename Step::Scalar* sums, const Epilogue& epilogue, int pixel,
                      int lane) {
  constexpr int kPanel = Step::kLanes * Step::kVectors;
  const auto sum = sums[pixel * kPanel + lane];
  const float start = epilogue.start ? epilogue.start[pixel * kPanel + lane] : epilogue.bias[lane];
  if constexpr (Step::kElement == Element::kReals) return start + sum;
  const int32_t total = epilogue.offset[lane] + epilogue.factor * static_cast<int32_t>(sum);
  return start + epilogue.scale[lane] * (static_cast<float>(total) - epilogue.zero[lane]);
}

template <typename Step>
void FinishTile(const void* sums, const Epilogue& epilogue) {
  for (int lane = 0; lane < epilogue.lanes; ++lane) {
    float* out = epilogue.out + lane * epilogue.channel_step;
    for (int p = 0; p < epilogue.pixels; ++p) {
      float y = OutputOf<Step>(static_cast<const typename Step::Scalar*>(sums), epilogue, p, lane);
      Activate<1>(epilogue.activation, &y);
      out[p * epilogue.pixel_step] = y;
    }
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

// Channel planes to pixels with their channels side by side, sixteen pixels at a time.
inline void PackReals(const PackJob& job) {
  constexpr int64_t kBlock = 16;
  float* out = reinterpret_cast<float*>(job.words);
  for (int64_t first = job.first; first < job.first + job.count; first += kBlock) {
    const int64_t left = job.first + job.count - first;
    const int64_t count = left < kBlock ? left : kBlock;
    for (int64_t c = 0; c < job.channels; ++c) {
      const float* x = job.x + c * job.plane_pixels + first;
      for (int64_t i = 0; i < count; ++i) out[(first + i) * job.pixel_words + c] = x[i];
    }
  }
}

template <typename Step>
constexpr TileKernel MakeTileKernel(decltype(TileKernel::pack) pack,
                                    decltype(TileKernel::finish) finish) {
  TileKernel kernel{};
  kernel.element = Step::kElement;
  kernel.panel = Step::kLanes * Step::kVectors;
  kernel.pixels = Step::kPixels;
  kernel.word_channels = Step::kWordChannels;
  kernel.word_bytes = sizeof(typename Step::Word);
  static_assert(Step::kLanes * Step::kVectors <= kMaxPanel && Step::kPixels <= kMaxPixels,
                "see kernel_family.h");
  kernel.pack = pack;
  kernel.run = RunTileOfAnySize<Step>;
  kernel.finish = finish;
  return kernel;
}

}  // namespace
}  // namespace onnxbin

#endif  // ONNXBIN_KERNELS_TILE_TEMPLATES_H_
