// What this processor, and its operating system, can run. Compiled for the oldest processor, unlike
// kernels.
#ifndef ONNXBIN_KERNELS_CPU_FEATURES_H_
#define ONNXBIN_KERNELS_CPU_FEATURES_H_

namespace onnxbin {

bool HasAvx512Popcnt();  // AVX-512 F, BW, DQ, VL, VNNI and VPOPCNTDQ: Ice Lake, Zen 4 and later

}  // namespace onnxbin

#endif  // ONNXBIN_KERNELS_CPU_FEATURES_H_
