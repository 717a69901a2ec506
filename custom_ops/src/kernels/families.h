// The kernel families that this build holds, and the choice among them.
#ifndef ONNXBIN_KERNELS_FAMILIES_H_
#define ONNXBIN_KERNELS_FAMILIES_H_

#include <string>
#include <vector>

#include "kernels/kernel_family.h"

namespace onnxbin {

// Those that this processor can run, fastest first. The last is the reference.
std::vector<const KernelFamily*> AvailableFamilies();

// The one to use: the fastest, or the one that the environment variable ONNXBIN_ISA names. Throws
// std::runtime_error where that is none of the available ones.
const KernelFamily& SelectedFamily();

}  // namespace onnxbin

#endif  // ONNXBIN_KERNELS_FAMILIES_H_
