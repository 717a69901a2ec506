// A binary convolution that is ready to run: what a node of the graph becomes when a session is
// made.
#ifndef ONNXBIN_BINARY_CONV_H_
#define ONNXBIN_BINARY_CONV_H_

#include <memory>

#include "conv_params.h"
#include "kernels/kernel_family.h"
#include "parallel.h"

namespace onnxbin {

class BinaryConv {
 public:
  virtual ~BinaryConv() = default;

  // y [N, M, OH, OW] = the convolution of x, of shape `x_shape` [N, C, H, W]; `y_shape` is what
  // OutputShape says. Several threads may run one object at a time.
  virtual void Run(const float* x, const ImageShape& x_shape, float* y, const ImageShape& y_shape,
                   const Parallel& parallel) const = 0;
};

// Prepares a convolution with the kernels of one family: the constants are copied and repacked
// here, once.
std::unique_ptr<BinaryConv> MakeBinaryConv(const ConvParams& params, const ConvConstants& constants,
                                           const KernelFamily& family);

}  // namespace onnxbin

#endif  // ONNXBIN_BINARY_CONV_H_
