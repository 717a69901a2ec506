#include "kernels/cpu_features.h"

#if defined(ONNXBIN_ARM_KERNELS) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace onnxbin {

#ifdef ONNXBIN_X86_KERNELS

bool HasAvx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

bool HasAvx512Bw() {
  return HasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

bool HasAvx512Popcnt() {
  return HasAvx512Bw() && __builtin_cpu_supports("avx512vnni") &&
         __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("avx512vbmi");
}

#endif

#ifdef ONNXBIN_ARM_KERNELS

bool HasNeon() { return true; }

bool HasNeonDot() {
#if defined(__linux__)
  return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
#elif defined(__APPLE__)
  return true;  // every Mac with an Arm processor
#else
  return false;
#endif
}

#endif

}  // namespace onnxbin
