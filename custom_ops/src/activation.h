// What happens to every output of a convolution before it is stored, or to a quantised tensor.
#ifndef ONNXBIN_ACTIVATION_H_
#define ONNXBIN_ACTIVATION_H_

namespace onnxbin {

struct Activation {
  enum class Kind {
    kNone,
    kRelu,       // max(y, 0)
    kClip,       // min(max(y, least), most)
    kLeakyRelu,  // y where y >= 0, else slope * y
    kHardSwish,  // y * min(max(y / 6 + 1/2, 0), 1)
    kSilu,       // y / (1 + exp(-y))
  } kind = Kind::kNone;
  float least = 0, most = 0;  // kClip
  float slope = 0;            // kLeakyRelu
};

// The definition; kernels have a faster form of their own, see kernels/activate.h.
double Activated(const Activation& activation, double y);

}  // namespace onnxbin

#endif  // ONNXBIN_ACTIVATION_H_
