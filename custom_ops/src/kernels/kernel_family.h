// The interface between the convolutions, which know shapes, and the kernels, which know
// instructions.
//
// A tile is a run of output pixels, along a row or down a column, by a panel of output channels.
// Everything that costs time is a function here on one tile, one block of pixels or one row; an
// instruction set is a file that fills in a KernelFamily. The element that tiles work on is the
// word: some input channels of one pixel, next to each other in memory, against which a kernel
// holds the same channels of every output channel of the panel, one lane each. So no kernel ever
// adds across lanes, and one tile loop serves all inputs:
//
//   element  channels in a word          one step, per lane
//   bits     32, or 64 in portable code  sum += popcount(x ^ w), for each bit-plane of a quantum
//   bytes    4                           sum += x0 * w0 + .. + x3 * w3; x a quantum, w +1 or -1
//   reals    1                           sum += x * w
//
// Bit-planes. With q = sum_p 2^p a_p over the planes p of a quantum, w the sign bits and `ones`
// their number among the n weights, sum(sign * a_p) = ones - popcount(a_p ^ w), so
//   sum(sign * q) = max_quantum * ones - X   with   X = sum_p 2^p popcount(a_p ^ w).
// Unused channels of a word are 0 in both and add nothing.
#ifndef ONNXBIN_KERNELS_KERNEL_FAMILY_H_
#define ONNXBIN_KERNELS_KERNEL_FAMILY_H_

#include <cstddef>
#include <cstdint>

#include "activation.h"

namespace onnxbin {

constexpr int kMaxPanel = 32;   // lanes of the widest panel
constexpr int kMaxPixels = 12;  // of the longest tile

enum class Element { kBits, kBytes, kReals };

// How an input becomes a quantum, or stays real.
struct Quantizer {
  enum class Kind { kReal, kSign, kQuant } kind;
  float inverse_step = 1;  // kQuant: q = clip(floor(x * inverse_step + zero + 1/2), 0, max)
  float zero = 0;
  float max = 1;
  const float* thresholds = nullptr;  // kSign: q = x >= threshold
  ptrdiff_t threshold_step = 0;       // from channel to channel: 0 or 1
};

// Packs pixels of one group of an image, channel planes in, words out.
struct PackJob {
  Quantizer quantizer;
  int planes;      // bit-planes; 1 for bytes and reals
  const float* x;  // [channels, plane_pixels]
  int64_t plane_pixels;
  int64_t channels;
  int64_t first, count;  // the pixels to pack
  unsigned char* words;  // of pixel 0, plane 0
  int64_t pixel_words;   // words of a pixel
  ptrdiff_t plane_step;  // bytes from plane to plane
};

// One tile against one panel, over a rectangle of taps that are inside the image for all its
// pixels.
struct Tile {
  int pixels;  // 1 .. the kernel's most
  int lanes;   // output channels in use, 1 .. the kernel's panel
  int planes;
  int64_t rows, columns, words;        // taps, and words of each
  const unsigned char* x;              // the first word
  ptrdiff_t x_pixel, x_row, x_column;  // bytes: next output pixel, next tap down, next tap right
  ptrdiff_t x_word;                    // bytes; for reals alone, those of others are neighbours
  ptrdiff_t x_plane;                   // bytes: next bit-plane
  const unsigned char* w;              // the panel's first word
  ptrdiff_t w_row, w_column;           // bytes
  bool add;                            // to what the sums are already; for reals alone
};

// How the sums of a tile become outputs: per lane,
//   out = start + sum                                                       for reals
//   out = start + scale * (float(offset + factor * sum) - zero)             for bits and bytes
// where start is the bias or, where several bases are summed, what came of those before; then the
// activation.
struct Epilogue {
  int pixels, lanes;  // as in Tile
  int32_t factor;
  const int32_t* offset;               // [panel]
  const float* zero;                   // [panel]
  const float* scale;                  // [panel]
  const float* bias;                   // [panel]
  const float* start;                  // [pixels, panel], or null for the bias
  float* out;                          // of lane 0 and pixel 0
  ptrdiff_t channel_step, pixel_step;  // floats from lane to lane, from pixel to pixel
  Activation activation;
};

struct TileKernel {
  Element element;
  int panel;   // lanes of a panel
  int pixels;  // most pixels of a tile
  int word_channels;
  int word_bytes;
  int byte_zero;  // what is taken off each quantum to make a signed byte; 0 where unsigned ones do

  void (*pack)(const PackJob& job);
  // sums [pixels, panel]: int32 for bits and bytes, float for reals.
  void (*run)(const Tile& tile, void* sums);
  void (*finish)(const void* sums, const Epilogue& epilogue);
  // Reals alone: w [count, panel] = sum_b scale[b * scale_step + lane] * sign, where bit `lane` of
  // signs[b * signs_step + i] is the sign of word i.
  void (*expand)(const uint32_t* signs, int64_t signs_step, const float* scale, int64_t scale_step,
                 int64_t bases, int64_t count, float* w);
};

// The inputs of one channel on their way into a plane of floats: x where real, -1 or +1 for kSign,
// q - zero for kQuant. Of each row, values 0, 2, 4 .. go to `even` and 1, 3, 5 .. to `odd`; all go
// to `even` where `odd` is null.
struct PlanarInput {
  Quantizer quantizer;
  int64_t channel;
  int64_t rows, columns;
  const float* x;
  float *even, *odd;
  int64_t x_row, out_row;  // floats from row to row
};

// The outputs of one channel from planes of floats that carry their padding with them:
//   out[row, column] = bias + sum_t w[t] * x[row * stride * x_row + offsets[t] + column]
// activated.
// The planes may be read kPlanarSlack floats beyond their end.
struct PlanarOutput {
  int64_t rows, columns;
  int64_t stride;  // from row to row
  int64_t x_row;   // floats from row to row of x
  const float* x;
  int64_t taps;
  const ptrdiff_t* offsets;  // [taps]
  const float* w;            // [taps]
  int window;  // where the taps are window x window pixels of one plane, row by row; else 0
  float bias;
  Activation activation;
  float* out;  // [rows, columns]
};
constexpr int64_t kPlanarSlack = 16;

// y[i] = table[x[i]], the table having 256 entries.
void LookUpBytes(const uint8_t* table, const uint8_t* x, int64_t count, uint8_t* y);

struct KernelFamily {
  const char* name;
  bool (*available)();     // on this processor
  bool reference = false;  // the plain definition takes the place of all below

  TileKernel bits{};
  TileKernel bytes{};   // without a run function where bit-planes serve all x_bits
  int bytes_from = 16;  // the least x_bits for which bytes are faster than bit-planes
  TileKernel reals{};

  void (*fill_plane)(const PlanarInput& input) = nullptr;
  void (*compute_plane)(const PlanarOutput& output) = nullptr;

  void (*look_up)(const uint8_t* table, const uint8_t* x, int64_t count, uint8_t* y) = LookUpBytes;
};

}  // namespace onnxbin

#endif  // ONNXBIN_KERNELS_KERNEL_FAMILY_H_
