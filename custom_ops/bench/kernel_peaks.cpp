// The speed of each kernel on data in the first-level cache: what the machine gives at best, to
// compare whole convolutions with. Best of many short runs, so that other load does not count.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "aligned_buffer.h"
#include "kernels/families.h"

namespace {

using namespace onnxbin;

// Nanoseconds of one call of `body`.
template <typename Body>
double Nanoseconds(const Body& body) {
  using Clock = std::chrono::steady_clock;
  double best = 1e30;
  for (int round = 0; round < 200; ++round) {
    const auto start = Clock::now();
    for (int i = 0; i < 20; ++i) body();
    const std::chrono::duration<double, std::nano> time = Clock::now() - start;
    best = std::min(best, time.count() / 20);
  }
  return best;
}

void Measure(const KernelFamily& family, const TileKernel& kernel, const char* name,
             Quantizer quantizer, int planes) {
  constexpr int64_t kWords = 64, kPixels = 256;
  const int64_t channels = kWords * kernel.word_channels;
  AlignedBuffer w(static_cast<size_t>(kWords * kernel.panel * kernel.word_bytes));
  AlignedBuffer words(static_cast<size_t>(planes * kPixels * kWords * kernel.word_bytes));
  std::fill_n(w.data(), kWords * kernel.panel * kernel.word_bytes, static_cast<unsigned char>(1));
  std::vector<float> x(static_cast<size_t>(channels * kPixels), 1.0f);
  alignas(64) int32_t sums[kMaxPixels * kMaxPanel] = {};
  alignas(64) float y[kMaxPixels * kMaxPanel] = {};
  std::vector<float> out(static_cast<size_t>(kMaxPanel * 1000 + kMaxPixels));

  PackJob job{};
  job.quantizer = quantizer;
  job.planes = planes;
  job.x = x.data();
  job.plane_pixels = kPixels;
  job.channels = channels;
  job.count = kPixels;
  job.words = words.data();
  job.pixel_words = kWords;
  job.plane_step = kPixels * kWords * kernel.word_bytes;
  const double pack =
      Nanoseconds([&] { kernel.pack(job); }) / static_cast<double>(channels * kPixels);

  Tile tile{};
  tile.pixels = kernel.pixels;
  tile.lanes = kernel.panel;
  tile.planes = planes;
  tile.rows = tile.columns = 1;
  tile.words = kWords;
  tile.x = words.data();
  tile.x_pixel = kWords * kernel.word_bytes;
  tile.x_plane = job.plane_step;
  tile.w = w.data();
  const double run = Nanoseconds([&] { kernel.run(tile, sums); });
  const double macs = static_cast<double>(channels * kernel.pixels * kernel.panel);

  const Scaling scaling{1, sums, y, y, nullptr};
  const double scale = Nanoseconds([&] { kernel.scale(sums, kernel.pixels, scaling, y); });
  const double store =
      Nanoseconds([&] { kernel.store(y, kernel.pixels, kernel.panel, out.data(), 1000, 1); });
  std::printf(
      "%-14s %-7s %2dx%-2d tile %8.1f GMAC/s  scale %6.1f ns  store %6.1f ns  pack %6.3f "
      "ns/input\n",
      family.name, name, kernel.pixels, kernel.panel, macs / run, scale, store, pack);
}

}  // namespace

int main() {
  const float threshold = 0.0f;
  Quantizer real{}, sign{}, quant{};
  real.kind = Quantizer::Kind::kReal;
  sign.kind = Quantizer::Kind::kSign;
  sign.thresholds = &threshold;
  quant.kind = Quantizer::Kind::kQuant;
  for (const KernelFamily* family : AvailableFamilies()) {
    if (family->reference) continue;
    Measure(*family, family->bits, "1 bit", sign, 1);
    Measure(*family, family->bits, "2 bits", quant, 2);
    Measure(*family, family->bits, "4 bits", quant, 4);
    if (family->bytes.run) Measure(*family, family->bytes, "8 bits", quant, 1);
    Measure(*family, family->reals, "real", real, 1);
  }
}
