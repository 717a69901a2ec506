#include "binary_conv.h"

#include "planar_conv.h"
#include "reference_conv.h"
#include "tiled_conv.h"

namespace onnxbin {

std::unique_ptr<BinaryConv> MakeBinaryConv(const ConvParams& params, const ConvConstants& constants,
                                           const KernelFamily& family) {
  if (family.reference) return std::make_unique<ReferenceConv>(params, constants);
  if (PlanarConv::Suits(params, family))
    return std::make_unique<PlanarConv>(params, constants, family);
  return std::make_unique<TiledConv>(params, constants, family);
}

}  // namespace onnxbin
