// NEON, on any 64-bit Arm processor. Quanta of 8 bits go through bit-planes.
#include "kernels/neon.h"

#include "kernels/cpu_features.h"

namespace onnxbin {

extern const KernelFamily kNeon;
const KernelFamily kNeon = MakeNeonFamily("neon", HasNeon);

}  // namespace onnxbin
