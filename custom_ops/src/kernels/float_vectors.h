// What the vectors of GCC and Clang have no operators for, and GCC does not make one instruction
// of. In an unnamed namespace, like all that is compiled for one instruction set; see
// tile_templates.h.
//
//   MultiplyAdd(a, b, c)  a * b + c, rounded once where an instruction does that. Only on the way
//                         from sums to outputs: the quantiser rounds after each operation.
//   Max(a, b), Min(a, b)  of a NaN and a number b, b or a NaN; of a number a and a NaN, a NaN
#ifndef ONNXBIN_KERNELS_FLOAT_VECTORS_H_
#define ONNXBIN_KERNELS_FLOAT_VECTORS_H_

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace onnxbin {
namespace {

inline float MultiplyAdd(float a, float b, float c) { return a * b + c; }
inline float Max(float a, float b) { return a > b ? a : b; }
inline float Min(float a, float b) { return a < b ? a : b; }

#if defined(__AVX512F__)
inline __m512 MultiplyAdd(__m512 a, __m512 b, __m512 c) { return _mm512_fmadd_ps(a, b, c); }
inline __m512 Max(__m512 a, __m512 b) { return _mm512_max_ps(a, b); }
inline __m512 Min(__m512 a, __m512 b) { return _mm512_min_ps(a, b); }
#elif defined(__AVX2__)
inline __m256 MultiplyAdd(__m256 a, __m256 b, __m256 c) { return _mm256_fmadd_ps(a, b, c); }
inline __m256 Max(__m256 a, __m256 b) { return _mm256_max_ps(a, b); }
inline __m256 Min(__m256 a, __m256 b) { return _mm256_min_ps(a, b); }
#elif defined(__aarch64__)
inline float32x4_t MultiplyAdd(float32x4_t a, float32x4_t b, float32x4_t c) {
  return vfmaq_f32(c, a, b);
}
inline float32x4_t Max(float32x4_t a, float32x4_t b) { return vmaxq_f32(a, b); }
inline float32x4_t Min(float32x4_t a, float32x4_t b) { return vminq_f32(a, b); }
#endif

}  // namespace
}  // namespace onnxbin

#endif  // ONNXBIN_KERNELS_FLOAT_VECTORS_H_
