#include "packed_weights.h"

#include <cstring>

namespace onnxbin {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Writes one sign into a tap's words: that of input channel `channel` of the group and output lane
// `lane`.
void PutSign(const TileKernel& kernel, unsigned char* tap, int64_t channel, int64_t lane,
             bool plus) {
  if (kernel.element == Element::kReals) {
    uint32_t lanes;
    std::memcpy(&lanes, tap + channel * sizeof(lanes), sizeof(lanes));
    lanes |= static_cast<uint32_t>(plus) << lane;
    std::memcpy(tap + channel * sizeof(lanes), &lanes, sizeof(lanes));
    return;
  }
  unsigned char* word =
      tap + (channel / kernel.word_channels * kernel.panel + lane) * kernel.word_bytes;
  const int64_t place = channel % kernel.word_channels;
  if (kernel.element == Element::kBytes) {
    word[place] = plus ? 1 : 0xff;
  } else if (kernel.word_bytes == sizeof(uint64_t)) {
    uint64_t bits;
    std::memcpy(&bits, word, sizeof(bits));
    bits |= static_cast<uint64_t>(plus) << place;
    std::memcpy(word, &bits, sizeof(bits));
  } else {
    uint32_t bits;
    std::memcpy(&bits, word, sizeof(bits));
    bits |= static_cast<uint32_t>(plus) << place;
    std::memcpy(word, &bits, sizeof(bits));
  }
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

  for (int64_t b = 0; b < params.bases; ++b) {
    for (int64_t m = 0; m < params.out_channels; ++m) {
      const uint8_t* row = signs + (b * params.out_channels + m) * params.row_bytes();
      const int64_t group = m / params.group_outputs();
      const int64_t panel = group * panels_ + m % params.group_outputs() / lanes_;
      const int64_t lane = m % params.group_outputs() % lanes_;
      unsigned char* packed = data_.data() + (b * all_panels_ + panel) * taps_ * tap_bytes_;
      int32_t* sums = tap_sums_.data() + (b * all_panels_ + panel) * taps_ * lanes_ + lane;
      int64_t k = 0;
      for (int64_t c = 0; c < params.group_channels; ++c) {
        for (int64_t tap = 0; tap < taps_; ++tap, ++k) {
          const bool plus = row[k / 8] >> (k % 8) & 1;
          PutSign(kernel, packed + tap * tap_bytes_, c, lane, plus);
          sums[tap * lanes_] += plus ? 1 : -1;
        }
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
