// The quantiser of a node, as the kernels want it.
#ifndef ONNXBIN_QUANTIZER_H_
#define ONNXBIN_QUANTIZER_H_

#include "conv_params.h"
#include "kernels/kernel_family.h"

namespace onnxbin {

// `thresholds` must hold what constants.x_zero points to for as long as the result is used.
inline Quantizer MakeQuantizer(const ConvParams& params, const ConvConstants& constants,
                               const std::vector<float>& thresholds) {
  Quantizer quantizer{};
  switch (params.input) {
    case InputKind::kReal:
      quantizer.kind = Quantizer::Kind::kReal;
      break;
    case InputKind::kSign:
      quantizer.kind = Quantizer::Kind::kSign;
      quantizer.thresholds = thresholds.data();
      quantizer.threshold_step = constants.x_zero_per_channel ? 1 : 0;
      break;
    case InputKind::kQuant:
      quantizer.kind = Quantizer::Kind::kQuant;
      quantizer.inverse_step = 1.0f / constants.x_step;
      quantizer.zero = constants.x_zero[0];
      quantizer.max = static_cast<float>(params.max_quantum());
      break;
  }
  return quantizer;
}

// A copy of a node's thresholds; empty where it has none.
inline std::vector<float> CopyThresholds(const ConvParams& params, const ConvConstants& constants) {
  if (params.input != InputKind::kSign) return {};
  return {constants.x_zero,
          constants.x_zero + (constants.x_zero_per_channel ? params.in_channels() : 1)};
}

}  // namespace onnxbin

#endif  // ONNXBIN_QUANTIZER_H_
