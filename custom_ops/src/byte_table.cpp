#include "byte_table.h"

#include <cmath>

#include "kernels/kernel_family.h"

namespace onnxbin {

ByteTable MakeByteTable(const Activation& activation, const ByteScale& x, const ByteScale& y) {
  ByteTable table{};
  for (int byte = 0; byte < 256; ++byte) {
    const float real = static_cast<float>(byte - x.zero) * x.scale;
    const float activated = static_cast<float>(Activated(activation, real));
    const float level = std::nearbyint(activated / y.scale) + static_cast<float>(y.zero);
    const float least = level > 0 ? level : 0;  // a NaN is not >: 0
    table[static_cast<size_t>(byte)] = static_cast<uint8_t>(least < 255 ? least : 255);
  }
  return table;
}

void LookUpBytes(const uint8_t* table, const uint8_t* x, int64_t count, uint8_t* y) {
  for (int64_t i = 0; i < count; ++i) y[i] = table[x[i]];
}

}  // namespace onnxbin
