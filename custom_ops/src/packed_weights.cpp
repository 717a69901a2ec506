#include "packed_weights.h"

#include <algorithm>
#include <cstring>

namespace onnxbin {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// One bit of each byte of `signs`, which are `stride` apart, as a number; the lowest comes first.
template <typename Word>
Word Gather(const uint8_t* signs, int64_t stride, int64_t count) {
  Word word = 0;
  for (int64_t i = 0; i < count; ++i) word |= static_cast<Word>(signs[i * stride]) << i;
  return word;
}

// Writes the signs of one tap and output channel into the tap's words; signs: 0 or 1 for each input
// channel of the group, `stride` apart. Returns their sum, each +1 or -1.
int32_t PutSigns(const TileKernel& kernel, unsigned char* tap, const uint8_t* signs, int64_t stride,
                 int64_t channels, int64_t lane) {
  int32_t plus = 0;
  for (int64_t c = 0; c < channels; ++c) plus += signs[c * stride];
  const int32_t sum = 2 * plus - static_cast<int32_t>(channels);
  if (kernel.element == Element::kReals) {
    for (int64_t c = 0; c < channels; ++c) {
      uint32_t lanes;
      std::memcpy(&lanes, tap + c * sizeof(lanes), sizeof(lanes));
      lanes |= static_cast<uint32_t>(signs[c * stride]) << lane;
      std::memcpy(tap + c * sizeof(lanes), &lanes, sizeof(lanes));
    }
    return sum;
  }
  for (int64_t c = 0; c < channels; c += kernel.word_channels) {
    unsigned char* word =
        tap + (c / kernel.word_channels * kernel.panel + lane) * kernel.word_bytes;
    const uint8_t* first = signs + c * stride;
    const int64_t count = std::min<int64_t>(kernel.word_channels, channels - c);
    if (kernel.element == Element::kBytes) {
      for (int64_t i = 0; i < count; ++i) word[i] = static_cast<uint8_t>(2 * first[i * stride] - 1);
    } else if (kernel.word_bytes == sizeof(uint64_t)) {
      const auto bits = Gather<uint64_t>(first, stride, count);
      std::memcpy(word, &bits, sizeof(bits));
    } else {
      const auto bits = Gather<uint32_t>(first, stride, count);
      std::memcpy(word, &bits, sizeof(bits));
    }
  }
  return sum;
}

}  // namespace

PackedWeights::PackedWeights(const ConvParams& params, const uint8_t* signs,
                             const TileKernel& kernel)
    : lanes_(kernel.panel),
      panels_(CeilDiv(params.group_outputs(), kernel.panel)),
      all_panels_(panels_ * params.group),
      taps_(params.taps()),
      words_(CeilDiv(params.group_channels, kernel.word_channels)),
      tap_bytes_(kernel.element == Element::kReals ? words_ * static_cast<int64_t>(sizeof(uint32_t))
                                                   : words_ * lanes_ * kernel.word_bytes) {
  const int64_t bytes = CheckedProduct(
      params.bases, CheckedProduct(all_panels_, CheckedProduct(taps_, tap_bytes_, "W"), "W"), "W");
  data_ = AlignedBuffer(static_cast<size_t>(bytes));
  std::memset(data_.data(), 0, static_cast<size_t>(bytes));
  tap_sums_.resize(static_cast<size_t>(params.bases * all_panels_ * taps_ * lanes_));

  std::vector<uint8_t> bits(static_cast<size_t>(params.group_channels * taps_));  // of a channel
  for (int64_t b = 0; b < params.bases; ++b) {
    for (int64_t m = 0; m < params.out_channels; ++m) {
      const uint8_t* row = signs + (b * params.out_channels + m) * params.row_bytes();
      const int64_t group = m / params.group_outputs();
      const int64_t panel = group * panels_ + m % params.group_outputs() / lanes_;
      const int64_t lane = m % params.group_outputs() % lanes_;
      unsigned char* packed = data_.data() + (b * all_panels_ + panel) * taps_ * tap_bytes_;
      int32_t* sums = tap_sums_.data() + (b * all_panels_ + panel) * taps_ * lanes_ + lane;
      for (size_t k = 0; k < bits.size(); ++k) bits[k] = row[k / 8] >> (k % 8) & 1;
      for (int64_t tap = 0; tap < taps_; ++tap) {
        sums[tap * lanes_] = PutSigns(kernel, packed + tap * tap_bytes_, bits.data() + tap, taps_,
                                      params.group_channels, lane);
      }
    }
  }
}

std::vector<float> PanelOrder(const ConvParams& params, const float* values,
                              const TileKernel& kernel) {
  const int64_t lanes = CeilDiv(params.group_outputs(), kernel.panel) * kernel.panel;  // of a group
  std::vector<float> ordered(static_cast<size_t>(params.group * lanes));
  for (int64_t m = 0; m < params.out_channels; ++m) {
    ordered[m / params.group_outputs() * lanes + m % params.group_outputs()] = values[m];
  }
  return ordered;
}

}  // namespace onnxbin
