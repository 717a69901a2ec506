// Activations of outputs while they are in registers, written once for floats and for the vector
// types of GCC and Clang. In an unnamed namespace, like all that is compiled for one instruction
// set; see tile_templates.h.
#ifndef ONNXBIN_KERNELS_ACTIVATE_H_
#define ONNXBIN_KERNELS_ACTIVATE_H_

#include <cstdint>
#include <cstring>

#include "activation.h"
#include "kernels/float_vectors.h"

#if defined(__clang__)
#define ONNXBIN_UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define ONNXBIN_UNROLL _Pragma("GCC unroll 32")
#else
#define ONNXBIN_UNROLL
#endif

namespace onnxbin {
namespace {

// As many integers of 32 bits as there are floats: for vectors, what comparing them gives.
template <typename Floats>
struct IntegersLike {
  using Type = decltype(Floats{} < Floats{});
};
template <>
struct IntegersLike<float> {
  using Type = uint32_t;
};

// A NaN stays one.
template <typename Floats>
inline Floats Clip(Floats v, float least, float most) {
  return Min(Floats{} + most, Max(Floats{} + least, v));
}

// 2^x to 4e-6 of it; 0 below the least normal number, infinity above the largest. With x = n + r,
// |r| <= 1/2, it is 2^n, made of bits, times a polynomial in r.
template <typename Floats>
inline Floats PowerOfTwo(Floats x) {
  x = Min(Max(x, Floats{} - 127.0f), Floats{} + 128.0f);
  // A sum with this ends in the bits of the nearest integer n, plus 127: the exponent of 2^n.
  constexpr float kRounder = 12582912.0f + 127.0f;
  const Floats rounded = x + kRounder;
  typename IntegersLike<Floats>::Type bits;
  std::memcpy(&bits, &rounded, sizeof(bits));
  bits = bits << 23;
  Floats power;
  std::memcpy(&power, &bits, sizeof(power));
  const Floats r = x - (rounded - kRounder);
  // The least deviation from 2^r that four coefficients can have.
  Floats y = MultiplyAdd(r, Floats{} + 0.009582853f, Floats{} + 0.055906426f);
  y = MultiplyAdd(y, r, Floats{} + 0.24024099f);
  y = MultiplyAdd(y, r, Floats{} + 0.6931242f);
  return power * MultiplyAdd(y, r, Floats{} + 1.0f);
}

// Of -infinity a NaN, as in IEEE arithmetic.
template <typename Floats>
inline Floats Silu(Floats v) {
  return v / (1.0f + PowerOfTwo(v * -1.44269504f));
}

// The first kCount of these outputs, activated.
template <int kCount, typename Floats>
inline void Activate(const Activation& activation, Floats* outputs) {
  switch (activation.kind) {
    case Activation::Kind::kNone:
      return;
    case Activation::Kind::kRelu:
      ONNXBIN_UNROLL
      for (int i = 0; i < kCount; ++i) outputs[i] = Max(Floats{}, outputs[i]);
      return;
    case Activation::Kind::kClip:
      ONNXBIN_UNROLL
      for (int i = 0; i < kCount; ++i) {
        outputs[i] = Clip(outputs[i], activation.least, activation.most);
      }
      return;
    case Activation::Kind::kLeakyRelu:
      ONNXBIN_UNROLL
      for (int i = 0; i < kCount; ++i) {
        outputs[i] = outputs[i] < Floats{} ? outputs[i] * activation.slope : outputs[i];
      }
      return;
    case Activation::Kind::kHardSwish:
      ONNXBIN_UNROLL
      for (int i = 0; i < kCount; ++i) {
        outputs[i] = outputs[i] * Clip(outputs[i] * (1.0f / 6) + 0.5f, 0.0f, 1.0f);
      }
      return;
    case Activation::Kind::kSilu:
      ONNXBIN_UNROLL
      for (int i = 0; i < kCount; ++i) outputs[i] = Silu(outputs[i]);
      return;
  }
}

}  // namespace
}  // namespace onnxbin

#endif  // ONNXBIN_KERNELS_ACTIVATE_H_
