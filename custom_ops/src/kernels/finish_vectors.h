// The epilogue of tiles with the vector types of GCC and Clang: sums become outputs in registers,
// and are stored from there. In an unnamed namespace, like all that is compiled for one instruction
// set; see tile_templates.h.
#ifndef ONNXBIN_KERNELS_FINISH_VECTORS_H_
#define ONNXBIN_KERNELS_FINISH_VECTORS_H_

#include "kernels/float_vectors.h"
#include "kernels/pack_vectors.h"
#include "kernels/tile_templates.h"

namespace onnxbin {
namespace {

// The outputs of the kLanes lanes from `first` on, pixel by pixel.
template <typename Step>
class OutputVectors {
 public:
  using V = Vectors<Step::kLanes>;
  using Floats = typename V::Floats;

  OutputVectors(const void* sums, const Epilogue& epilogue, int first)
      : sums_(static_cast<const typename Step::Scalar*>(sums) + first),
        start_(epilogue.start ? epilogue.start + first : nullptr),
        bias_(V::Load(epilogue.bias + first)) {
    if constexpr (Step::kElement != Element::kReals) {
      factor_ = epilogue.factor;
      offset_ = LoadIntegers(epilogue.offset + first);
      scale_ = V::Load(epilogue.scale + first);
      zero_ = V::Load(epilogue.zero + first);
    }
  }

  Floats operator()(int pixel) const {
    const int at = pixel * Step::kLanes * Step::kVectors;
    const Floats start = start_ ? V::Load(start_ + at) : bias_;
    if constexpr (Step::kElement == Element::kReals) {
      return start + V::Load(sums_ + at);
    } else {
      const Integers total = offset_ + factor_ * LoadIntegers(sums_ + at);
      return MultiplyAdd(scale_, __builtin_convertvector(total, Floats) - zero_, start);
    }
  }

 private:
  using Integers = typename V::Integers;

  static Integers LoadIntegers(const int32_t* p) {
    Integers v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v;
  }

  const typename Step::Scalar* sums_;
  const float* start_;
  Floats bias_, scale_{}, zero_{};
  int32_t factor_ = 1;
  Integers offset_{};
};

// Lanes of channels to rows of pixels one by one.
template <typename Step>
void FinishTileVectors(const void* sums, const Epilogue& epilogue) {
  for (int first = 0; first < epilogue.lanes; first += Step::kLanes) {
    const OutputVectors<Step> outputs(sums, epilogue, first);
    const int left = epilogue.lanes - first;
    const int lanes = left < Step::kLanes ? left : Step::kLanes;
    for (int p = 0; p < epilogue.pixels; ++p) {
      auto row = outputs(p);
      Activate<1>(epilogue.activation, &row);
      float* out = epilogue.out + first * epilogue.channel_step + p * epilogue.pixel_step;
      for (int lane = 0; lane < lanes; ++lane) out[lane * epilogue.channel_step] = row[lane];
    }
  }
}

}  // namespace
}  // namespace onnxbin

#endif  // ONNXBIN_KERNELS_FINISH_VECTORS_H_
