#include "activation.h"

#include <cmath>

namespace onnxbin {

double Activated(const Activation& activation, double y) {
  switch (activation.kind) {
    case Activation::Kind::kNone:
      return y;
    case Activation::Kind::kRelu:
      return y < 0 ? 0 : y;
    case Activation::Kind::kClip:
      if (y < activation.least) return activation.least;
      return y > activation.most ? activation.most : y;
    case Activation::Kind::kLeakyRelu:
      return y < 0 ? y * activation.slope : y;
    case Activation::Kind::kHardSwish: {
      const double gate = y / 6 + 0.5;
      return y * (gate < 0 ? 0 : gate > 1 ? 1 : gate);
    }
    case Activation::Kind::kSilu:
      return y / (1 + std::exp(-y));
  }
  return y;
}

}  // namespace onnxbin
