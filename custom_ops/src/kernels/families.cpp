#include "kernels/families.h"

#include <cstdlib>
#include <stdexcept>

namespace onnxbin {

// Each in the file of its name.
extern const KernelFamily kAvx2;
extern const KernelFamily kAvx512Bw;
extern const KernelFamily kAvx512Popcnt;
extern const KernelFamily kNeon;
extern const KernelFamily kNeonDot;
extern const KernelFamily kPortable;

namespace {

bool Always() { return true; }

constexpr KernelFamily MakeReference() {
  KernelFamily family{"reference", Always};
  family.reference = true;
  return family;
}
constexpr KernelFamily kReference = MakeReference();

// Fastest first.
constexpr const KernelFamily* kFamilies[] = {
#if defined(ONNXBIN_X86_KERNELS)
    &kAvx512Popcnt, &kAvx512Bw,  &kAvx2,
#elif defined(ONNXBIN_ARM_KERNELS)
    &kNeonDot,
    &kNeon,
#endif
    &kPortable,     &kReference,
};

}  // namespace

std::vector<const KernelFamily*> AvailableFamilies() {
  std::vector<const KernelFamily*> available;
  for (const KernelFamily* family : kFamilies) {
    if (family->available()) available.push_back(family);
  }
  return available;
}

const KernelFamily& SelectedFamily() {
  const std::vector<const KernelFamily*> available = AvailableFamilies();
  const char* wanted = std::getenv("ONNXBIN_ISA");
  if (!wanted || !*wanted) return *available.front();
  std::string names;
  for (const KernelFamily* family : available) {
    if (std::string(family->name) == wanted) return *family;
    names += (names.empty() ? "" : ", ") + std::string(family->name);
  }
  throw std::runtime_error("the environment variable ONNXBIN_ISA is '" + std::string(wanted) +
                           "'; expected one of those available here: " + names +
                           " (or none, for the first)");
}

}  // namespace onnxbin
