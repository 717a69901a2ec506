// a * b + c, rounded once where an instruction does that. Only on the way from sums to outputs: the
// quantiser rounds after each operation. In an unnamed namespace, like all that is compiled for one
// instruction set; see tile_templates.h.
#ifndef ONNXBIN_KERNELS_MULTIPLY_ADD_H_
#define ONNXBIN_KERNELS_MULTIPLY_ADD_H_

#if defined(__FMA__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace onnxbin {
namespace {

inline float MultiplyAdd(float a, float b, float c) { return a * b + c; }
#if defined(__AVX512F__)
inline __m512 MultiplyAdd(__m512 a, __m512 b, __m512 c) { return _mm512_fmadd_ps(a, b, c); }
#endif
#if defined(__FMA__)
inline __m256 MultiplyAdd(__m256 a, __m256 b, __m256 c) { return _mm256_fmadd_ps(a, b, c); }
#elif defined(__aarch64__)
inline float32x4_t MultiplyAdd(float32x4_t a, float32x4_t b, float32x4_t c) {
  return vfmaq_f32(c, a, b);
}
#endif

}  // namespace
}  // namespace onnxbin

#endif  // ONNXBIN_KERNELS_MULTIPLY_ADD_H_
