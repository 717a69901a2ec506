// What this processor, and its operating system, can run. Compiled for the oldest processor, unlike
// kernels.
#ifndef ONNXBIN_KERNELS_CPU_FEATURES_H_
#define ONNXBIN_KERNELS_CPU_FEATURES_H_

namespace onnxbin {

bool HasAvx2();          // AVX2 and FMA: Haswell, Zen and later
bool HasAvx512Bw();      // AVX-512 F, BW, DQ and VL: Skylake-X and later
bool HasAvx512Popcnt();  // the same with VNNI, VPOPCNTDQ and VBMI: Ice Lake, Zen 4 and later

bool HasNeon();     // every 64-bit Arm processor
bool HasNeonDot();  // the dot product of bytes: Armv8.2 and later

}  // namespace onnxbin

#endif  // ONNXBIN_KERNELS_CPU_FEATURES_H_
