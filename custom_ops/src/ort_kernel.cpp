#include "ort_kernel.h"

#include <cmath>

namespace onnxbin {
namespace {

void CheckActivation(const Activation& activation) {
  const auto check = [](const char* name, float value) {
    if (!std::isfinite(value)) {
      throw InvalidModel(std::string("attribute ") + name + " is " + std::to_string(value) +
                         "; expected a finite number");
    }
  };
  if (activation.kind == Activation::Kind::kLeakyRelu) check("alpha", activation.slope);
  if (activation.kind != Activation::Kind::kClip) return;
  check("min", activation.least);
  check("max", activation.most);
  if (activation.least > activation.most) {
    throw InvalidModel("attribute min is " + std::to_string(activation.least) + " and max " +
                       std::to_string(activation.most) + "; expected min <= max");
  }
}

}  // namespace

Activation ReadActivation(const OrtNode& node, Activation::Kind kind) {
  Activation activation{kind};
  if (kind == Activation::Kind::kLeakyRelu) {
    activation.slope = node.Float("alpha");
  } else if (kind == Activation::Kind::kClip) {
    activation.least = node.Float("min");
    activation.most = node.Float("max");
  }
  CheckActivation(activation);
  return activation;
}

}  // namespace onnxbin
