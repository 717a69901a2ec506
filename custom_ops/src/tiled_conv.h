// Convolution by tiles, for everything but small groups: the input is packed to words, pixel by
// pixel, and tiles of outputs are computed from it directly, without an im2col matrix.
#ifndef ONNXBIN_TILED_CONV_H_
#define ONNXBIN_TILED_CONV_H_

#include "binary_conv.h"
#include "output_tiles.h"
#include "packed_weights.h"

namespace onnxbin {

class TiledConv : public BinaryConv {
 public:
  TiledConv(const ConvParams& params, const ConvConstants& constants, const KernelFamily& family);

  void Run(const float* x, const ImageShape& x_shape, float* y, const ImageShape& y_shape,
           const Parallel& parallel) const override;

 private:
  // A part of the reduction that several tiles work through together, so that its weights stay in
  // the cache: some taps, and some words of each.
  struct Block {
    Range rows, columns, words;
  };
  // The weights of one block and panel: the first, and the bytes from tap to tap.
  struct BlockWeights {
    const unsigned char* first;
    int64_t row, column;
  };
  // One image, and the rows of its output that are computed together.
  struct Image {
    const float* x;
    float* y;
    ImageShape x_shape, y_shape;
    Range x_rows, y_rows;
    const unsigned char* words;         // of x_rows, packed: [plane, group, row, column, word]
    int64_t group, plane, pixel, word;  // bytes from one to the next
  };
  // What integer sums are corrected by; the same for all tiles with the same taps.
  struct Offsets {
    int32_t sum[kMaxPanel];
    float zero[kMaxPanel];
  };
  // Where the kernel finds one block's part of a tile's taps; the same for all tiles with the same
  // taps, but for the pixels. Only places inside the image become addresses: strides and paddings
  // alone may reach further than memory.
  struct Placement {
    Range rows{-1, -1}, columns{-1, -1};  // the tile's
    bool any;                             // whether some are in the block; if not, no more is set
    const unsigned char* x;               // the block's first word of the first packed pixel
    int64_t row, column;                  // of the first tap, for output pixel (0, 0)
    int64_t line, pixel;                  // bytes from row to row, from pixel to pixel
    std::array<int64_t, 2> stride;
    Tile tile;

    bool Suits(const OutputTile& other) const {
      return rows == other.rows && columns == other.columns;
    }
    Tile At(const OutputTile& output) const {
      Tile placed = tile;
      placed.pixels = output.pixels;
      placed.x =
          x + (row + output.row * stride[0]) * line + (column + output.column * stride[1]) * pixel;
      if (output.pixels > 1) placed.x_pixel = output.down ? stride[0] * line : stride[1] * pixel;
      return placed;
    }
  };
  // The output channels of one panel, and where an image has their group's input and their output.
  struct Panel {
    int64_t index;
    int lanes;
    const unsigned char* x;
    float* y;
  };

  Range RowsOfInput(Range y_rows, int64_t height) const;
  // The least that is worth a strip of an image, in rows of output.
  int64_t RowsOfStrip(const ImageShape& x_shape, const ImageShape& y_shape) const;
  void RunRows(Image image, const Parallel& parallel) const;
  // The channel planes of x as they are.
  void UsePlanes(Image* image) const;
  void PackRows(const Image& image, unsigned char* packed, const Parallel& parallel) const;
  std::vector<Block> CutIntoBlocks() const;
  Panel MakePanel(const Image& image, int64_t index) const;
  // Where a block's weights of the first base are; those of reals are expanded into `expanded`
  // first, the sum of all bases.
  BlockWeights Weights(const Block& block, const Panel& panel, float* expanded) const;
  Placement PlaceTaps(const OutputTile& tile, const Block& block, const BlockWeights& weights,
                      const Image& image, const Panel& panel) const;
  Offsets ComputeOffsets(const OutputTile& tile, int64_t base, const Panel& panel) const;
  void RunIntegers(const OutputTile* tiles, int64_t count, const Image& image,
                   const Panel& panel) const;
  void RunReals(const OutputTile* tiles, int64_t count, const Image& image,
                const Panel& panel) const;
  // What all kinds of inputs and all bases have in common.
  Epilogue MakeEpilogue(const OutputTile& tile, const Image& image, const Panel& panel) const;

  ConvParams params_;
  TileKernel kernel_;
  int planes_;
  PackedWeights weights_;
  bool packs_;
  std::vector<Block> blocks_;
  std::vector<float> scale_, bias_;  // [base, group, panel, lane], [group, panel, lane]
  Quantizer quantizer_;
  std::vector<float> thresholds_;  // kSign
};

}  // namespace onnxbin

#endif  // ONNXBIN_TILED_CONV_H_
