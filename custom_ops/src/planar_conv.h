// Convolution channel by channel, for depthwise and other small groups, where a panel of output
// channels would be nearly empty: plain floats, vectorised along the rows of the image.
//
// The input is first laid out as planes with their padding. A convolution of stride s is dense over
// phases: every s-th column, from column 0, 1 .. s - 1 on, side by side in each row. Then a tap is
// an offset, and neighbouring outputs are neighbours in memory.
#ifndef ONNXBIN_PLANAR_CONV_H_
#define ONNXBIN_PLANAR_CONV_H_

#include "binary_conv.h"

namespace onnxbin {

class PlanarConv : public BinaryConv {
 public:
  PlanarConv(const ConvParams& params, const ConvConstants& constants, const KernelFamily& family);

  // Whether this takes fewer vector operations than tiles do, and hardly more memory.
  static bool Suits(const ConvParams& params, const KernelFamily& family);

  void Run(const float* x, const ImageShape& x_shape, float* y, const ImageShape& y_shape,
           const Parallel& parallel) const override;

 private:
  // The padded planes for one size of image, in floats.
  struct Layout {
    int64_t height;       // rows of a plane, as far as windows reach
    int64_t phase_width;  // columns of one phase
    int64_t row, plane;   // from row to row, from plane to plane

    // Where a padded row's column is in the row.
    int64_t Column(int64_t column, int64_t stride) const {
      return column % stride * phase_width + column / stride;
    }
  };
  // PlanarOutput::window
  int Window() const;
  Layout MakeLayout(const ImageShape& y_shape) const;
  // Writes a channel's inputs into a plane; the padding around them is left alone.
  void FillPlane(const float* x, const ImageShape& x_shape, int64_t channel, const Layout& layout,
                 float* plane) const;

  const KernelFamily& family_;
  ConvParams params_;
  // [M, K]: signs times scales, x_step included, summed over the bases.
  std::vector<float> weights_;
  std::vector<float> bias_;
  std::vector<float> thresholds_;
  Quantizer quantizer_;
};

}  // namespace onnxbin

#endif  // ONNXBIN_PLANAR_CONV_H_
