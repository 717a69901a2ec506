// The oracle of all kernels: the definition of the operators, in plain loops, one output at a time.
#ifndef ONNXBIN_REFERENCE_CONV_H_
#define ONNXBIN_REFERENCE_CONV_H_

#include "binary_conv.h"

namespace onnxbin {

class ReferenceConv : public BinaryConv {
 public:
  ReferenceConv(const ConvParams& params, const ConvConstants& constants);

  void Run(const float* x, const ImageShape& x_shape, float* y, const ImageShape& y_shape,
           const Parallel& parallel) const override;

 private:
  double Output(const float* image, const ImageShape& x_shape, int64_t m, int64_t out_row,
                int64_t out_column) const;
  double Weight(int64_t m, int64_t k) const;
  double InputValue(float x, int64_t channel) const;

  ConvParams params_;
  std::vector<uint8_t> signs_;
  std::vector<float> scale_, bias_, x_zero_;
  float x_step_;
};

}  // namespace onnxbin

#endif  // ONNXBIN_REFERENCE_CONV_H_
