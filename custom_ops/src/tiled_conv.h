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
  // A part of the reduction that tiles work through together, so that its weights stay near: some
  // taps, and words first_word .. of each.
  struct Block {
    Range rows, columns, words;
  };
  // What all tiles of an image share.
  struct Image {
    const unsigned char* x;  // packed: [plane, group, row, column, word]
    int64_t group_bytes, plane_bytes;
    ImageShape x_shape, y_shape;
    float* y;
  };

  void PackImage(const float* x, const ImageShape& x_shape, unsigned char* packed,
                 const Parallel& parallel) const;
  std::vector<Block> CutIntoBlocks() const;
  // The part of `tile` in `block`, for one group and one panel of weights; false where that is
  // empty.
  bool Place(const OutputTile& tile, const Block& block, const Image& image, int64_t panel,
             const unsigned char* weights, Tile* placed) const;
  void RunIntegers(const OutputTile* tiles, int64_t count, const Image& image, int64_t panel) const;
  void RunReals(const OutputTile* tiles, int64_t count, const Image& image, int64_t panel) const;
  void Store(const OutputTile& tile, const float* sums, const Image& image, int64_t panel) const;
  int Lanes(int64_t panel) const;

  ConvParams params_;
  TileKernel kernel_;
  int planes_;
  PackedWeights weights_;
  std::vector<Block> blocks_;
  std::vector<float> scale_, bias_;  // [base, group, panel, lane], [group, panel, lane]
  Quantizer quantizer_;
  std::vector<float> thresholds_;  // kSign
};

}  // namespace onnxbin

#endif  // ONNXBIN_TILED_CONV_H_
