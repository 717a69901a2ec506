// How the output of a convolution is cut into tiles.
//
// A tap that falls into the padding must contribute exactly 0. Instead of masks or corrections,
// outputs are told apart by which taps of their window are inside the image: those taps are always
// a rectangle, and outputs with the same rectangle form a rectangle of the output. A tile is a run
// of pixels inside one of these, so its loop runs over the taps that count and over nothing else.
#ifndef ONNXBIN_OUTPUT_TILES_H_
#define ONNXBIN_OUTPUT_TILES_H_

#include <cstdint>
#include <vector>

#include "conv_params.h"

namespace onnxbin {

// first .. last - 1
struct Range {
  int64_t first, last;
  int64_t size() const { return last - first; }
  bool operator==(const Range& other) const { return first == other.first && last == other.last; }
};

inline Range Intersection(Range a, Range b) {
  const int64_t first = a.first > b.first ? a.first : b.first;
  const int64_t last = a.last < b.last ? a.last : b.last;
  return {first, last > first ? last : first};
}

struct OutputTile {
  int64_t row, column;  // of the first pixel
  int pixels;
  bool down;            // the run goes down a column, not along a row
  Range rows, columns;  // the taps inside the image
};

// Tiles of at most `max_pixels` that cover these rows of the output plane exactly once.
std::vector<OutputTile> CutIntoTiles(const ConvParams& params, const ImageShape& x,
                                     const ImageShape& y, Range y_rows, int max_pixels);

}  // namespace onnxbin

#endif  // ONNXBIN_OUTPUT_TILES_H_
