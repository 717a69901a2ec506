// Activations of tensors of 8 bits: a table of what becomes of each of the 256 values.
#ifndef ONNXBIN_BYTE_TABLE_H_
#define ONNXBIN_BYTE_TABLE_H_

#include <array>
#include <cstdint>

#include "activation.h"

namespace onnxbin {

using ByteTable = std::array<uint8_t, 256>;

// How a byte stands for a real number: scale * (byte - zero).
struct ByteScale {
  float scale;
  uint8_t zero;
};

// With x the real number of a byte and y its activation, in float32 each,
// clip(round(y / scale) + zero, 0, 255), halves being rounded to even.
ByteTable MakeByteTable(const Activation& activation, const ByteScale& x, const ByteScale& y);

}  // namespace onnxbin

#endif  // ONNXBIN_BYTE_TABLE_H_
