// Looks bytes up by every kernel family of this processor, in runs of all short lengths and some
// long ones, from and to memory that ends where they do.
//
//   look_up
//
// Prints the families. Exit status 1, with one line a run, where a byte is not the table's.
#include <cstdio>
#include <numeric>
#include <vector>

#include "kernels/families.h"

int main() {
  using namespace onnxbin;
  std::vector<uint8_t> table(256);
  for (size_t i = 0; i < 256; ++i) table[i] = static_cast<uint8_t>(i * 167 + 13);  // a permutation
  std::vector<int64_t> counts(300);
  std::iota(counts.begin(), counts.end(), 0);
  counts.push_back(100000);
  int failures = 0;
  for (const KernelFamily* family : AvailableFamilies()) {
    std::printf("%s ", family->name);
    for (int64_t count : counts) {
      std::vector<uint8_t> x(static_cast<size_t>(count)), y(x.size());
      for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<uint8_t>(i * 5 + x.size());
      family->look_up(table.data(), x.data(), count, y.data());
      bool same = true;
      for (size_t i = 0; i < x.size(); ++i) same = same && y[i] == table[x[i]];
      if (same) continue;
      ++failures;
      std::printf("\n%lld bytes: another\n", static_cast<long long>(count));
    }
  }
  std::printf("\n");
  return failures > 0;
}
