// Sign bits in the order in which the tile kernels read them.
//
//   panels    [base, group, panel, kernel row, kernel column, word, lane]: a lane is an output
//             channel, an element what the kernel calls a word of weights: bits, or four bytes of
//             +1 or -1. For reals it is one bit, which is expanded to a float at run time.
//   tap sums  [base, group, panel, tap, lane]: a tap's signs, summed over the group's channels.
// Channels and lanes beyond the last are 0.
#ifndef ONNXBIN_PACKED_WEIGHTS_H_
#define ONNXBIN_PACKED_WEIGHTS_H_

#include <vector>

#include "aligned_buffer.h"
#include "conv_params.h"
#include "kernels/kernel_family.h"

namespace onnxbin {

class PackedWeights {
 public:
  PackedWeights(const ConvParams& params, const uint8_t* signs, const TileKernel& kernel);

  int64_t panels() const { return panels_; }  // of one group
  int64_t words() const { return words_; }    // of one tap
  int64_t tap_bytes() const { return tap_bytes_; }

  // `panel` counts through the panels of all groups.
  const unsigned char* Panel(int64_t base, int64_t panel) const {
    return data_.data() + (base * all_panels_ + panel) * taps_ * tap_bytes_;
  }
  int64_t base_bytes() const { return all_panels_ * taps_ * tap_bytes_; }
  const int32_t* TapSums(int64_t base, int64_t panel) const {
    return tap_sums_.data() + (base * all_panels_ + panel) * taps_ * lanes_;
  }

 private:
  int64_t lanes_, panels_, all_panels_, taps_, words_, tap_bytes_;
  AlignedBuffer data_;
  std::vector<int32_t> tap_sums_;
};

// `values` [M] in the order of panels: [group, panel, lane], 0 beyond a group's last output
// channel.
std::vector<float> PanelOrder(const ConvParams& params, const float* values,
                              const TileKernel& kernel);

}  // namespace onnxbin

#endif  // ONNXBIN_PACKED_WEIGHTS_H_
