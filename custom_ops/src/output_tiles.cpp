#include "output_tiles.h"

#include <algorithm>

namespace onnxbin {
namespace {

// Neighbouring outputs along one axis and the taps that are inside the image for all of them.
struct Band {
  Range outputs, taps;
};

std::vector<Band> CutIntoBands(const ConvParams& params, int axis, int64_t in_size,
                               Range all_outputs) {
  const int64_t dilation = params.dilation[axis];
  // Outputs before this one have all taps, once one of them has.
  const int64_t reach = in_size + params.pad_begin[axis] - (params.kernel[axis] - 1) * dilation;
  const int64_t inside = (reach + params.stride[axis] - 1) / params.stride[axis];
  std::vector<Band> bands;
  for (int64_t out = all_outputs.first; out < all_outputs.last; ++out) {
    const int64_t origin = out * params.stride[axis] - params.pad_begin[axis];
    // Taps t with 0 <= origin + t * dilation < in_size.
    const int64_t first = origin < 0 ? (-origin + dilation - 1) / dilation : 0;
    const int64_t last = in_size > origin ? (in_size - origin + dilation - 1) / dilation : 0;
    const Range taps = Intersection({0, params.kernel[axis]}, {first, last});
    if (!bands.empty() && bands.back().taps == taps) {
      ++bands.back().outputs.last;
    } else {
      bands.push_back({{out, out + 1}, taps});
    }
    if (taps.size() == params.kernel[axis] && out + 1 < inside) {
      out = std::min(inside, all_outputs.last) - 1;
      bands.back().outputs.last = out + 1;
    }
  }
  return bands;
}

}  // namespace

std::vector<OutputTile> CutIntoTiles(const ConvParams& params, const ImageShape& x,
                                     const ImageShape& y, Range y_rows, int max_pixels) {
  const std::vector<Band> row_bands = CutIntoBands(params, 0, x.height, y_rows);
  const std::vector<Band> column_bands = CutIntoBands(params, 1, x.width, {0, y.width});
  std::vector<OutputTile> tiles;
  for (const Band& rows : row_bands) {
    for (const Band& columns : column_bands) {
      // Runs go along the longer side, and are of nearly equal length: short ones reuse less.
      const bool down =
          columns.outputs.size() < max_pixels && columns.outputs.size() < rows.outputs.size();
      const Range lines = down ? columns.outputs : rows.outputs;
      const Range along = down ? rows.outputs : columns.outputs;
      const int64_t runs = (along.size() + max_pixels - 1) / max_pixels;
      for (int64_t line = lines.first; line < lines.last; ++line) {
        for (int64_t run = 0; run < runs; ++run) {
          const int64_t first = along.first + along.size() * run / runs;
          const int64_t last = along.first + along.size() * (run + 1) / runs;
          tiles.push_back({down ? first : line, down ? line : first, static_cast<int>(last - first),
                           down, rows.taps, columns.taps});
        }
      }
    }
  }
  return tiles;
}

}  // namespace onnxbin
