// The speed of the selected family's tile kernels on data in the first-level cache: what one core
// gives at best, to compare whole convolutions with. Best of many short runs, so that other load
// does not count. One line for each kind of input: family, input, GMAC/s, with tabs between.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>

#include "aligned_buffer.h"
#include "kernels/families.h"

namespace {

using namespace onnxbin;

double GigaMacs(const TileKernel& kernel, int planes) {
  constexpr int64_t kWords = 64;
  const int64_t pixel_bytes = kWords * kernel.word_bytes;
  const auto zeros = [](int64_t bytes) {
    AlignedBuffer buffer(static_cast<size_t>(bytes));
    std::fill_n(buffer.data(), bytes, static_cast<unsigned char>(0));
    return buffer;
  };
  const AlignedBuffer w = zeros(kernel.panel * pixel_bytes);
  const AlignedBuffer x = zeros(planes * kernel.pixels * pixel_bytes);
  alignas(64) int32_t sums[kMaxPixels * kMaxPanel] = {};
  Tile tile{};
  tile.pixels = kernel.pixels;
  tile.lanes = kernel.panel;
  tile.planes = planes;
  tile.rows = tile.columns = 1;
  tile.words = kWords;
  tile.x = x.data();
  tile.x_pixel = pixel_bytes;
  tile.x_word = kernel.word_bytes;
  tile.x_plane = kernel.pixels * pixel_bytes;
  tile.w = w.data();

  using Clock = std::chrono::steady_clock;
  constexpr int kRounds = 2000, kRuns = 20;
  double best = 1e30;  // nanoseconds of one run
  for (int round = 0; round < kRounds; ++round) {
    const auto start = Clock::now();
    for (int i = 0; i < kRuns; ++i) kernel.run(tile, sums);
    const std::chrono::duration<double, std::nano> time = Clock::now() - start;
    best = std::min(best, time.count() / kRuns);
  }
  return static_cast<double>(kWords * kernel.word_channels * kernel.pixels * kernel.panel) / best;
}

}  // namespace

int main() {
  try {
    const KernelFamily& family = SelectedFamily();
    if (family.reference) {
      std::fprintf(stderr, "kernel_peaks: the family 'reference' has no kernels to measure\n");
      return 2;
    }
    const auto print = [&](const char* input, const TileKernel& kernel, int planes) {
      std::printf("%s\t%s\t%.1f\n", family.name, input, GigaMacs(kernel, planes));
    };
    print("1 bit", family.bits, 1);
    print("2 bits", family.bits, 2);
    if (family.bytes_from <= 4)
      print("4 bits", family.bytes, 1);
    else
      print("4 bits", family.bits, 4);
    if (family.bytes_from <= 8)
      print("8 bits", family.bytes, 1);
    else
      print("8 bits", family.bits, 8);
    print("real", family.reals, 1);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "kernel_peaks: %s\n", error.what());
    return 2;
  }
}
