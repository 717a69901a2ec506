// Tiles of bits for instruction sets that count ones slowly: most words are added up by carry-save
// adders first (the Harley-Seal method; W. Mula, N. Kurz, D. Lemire, "Faster Population Counts
// Using AVX2 Instructions", 2018). Of each 8 words only one, worth 8, is counted. In an unnamed
// namespace, like all that is compiled for one instruction set; see tile_templates.h.
//
// A `Step` gives, beyond what tile_templates.h asks of it:
//   Xor(x, w)
//   AddUp(a, b, c, &low)  the carries of a + b + c, bit by bit; the sums without them in `low`
//   Count(bits)           the number of ones of each byte
//   AddBytes(a, b)
#ifndef ONNXBIN_KERNELS_HARLEY_SEAL_H_
#define ONNXBIN_KERNELS_HARLEY_SEAL_H_

#include "kernels/tile_templates.h"

namespace onnxbin {
namespace {

// The sums of one vector of lanes of one pixel, for one bit-plane.
template <typename Step>
class CarrySaveCounter {
 public:
  using Bits = typename Step::Weights;
  using Sum = typename Step::Sum;

  // 8 words: their difference from the weights, which are `w_step` bytes apart.
  void AddEight(const unsigned char* x, const unsigned char* w, ptrdiff_t w_step) {
    const auto word = [&](int i) {
      return Step::Xor(Step::Broadcast(x + i * ptrdiff_t{sizeof(typename Step::Word)}),
                       Step::LoadWeights(w + i * w_step));
    };
    const Bits two0 = Step::AddUp(ones_, word(0), word(1), &ones_);
    const Bits two1 = Step::AddUp(ones_, word(2), word(3), &ones_);
    const Bits four0 = Step::AddUp(twos_, two0, two1, &twos_);
    const Bits two2 = Step::AddUp(ones_, word(4), word(5), &ones_);
    const Bits two3 = Step::AddUp(ones_, word(6), word(7), &ones_);
    const Bits four1 = Step::AddUp(twos_, two2, two3, &twos_);
    eights_.Add(Step::Count(Step::AddUp(fours_, four0, four1, &fours_)));
  }

  void AddOne(const unsigned char* x, const unsigned char* w) {
    rest_.Add(Step::Count(Step::Xor(Step::Broadcast(x), Step::LoadWeights(w))));
  }

  Sum Total() const {
    Sum sum = eights_.Total();
    sum = Step::Fold(Step::AddSums(sum, sum), Step::Count(fours_));
    sum = Step::Fold(Step::AddSums(sum, sum), Step::Count(twos_));
    sum = Step::Fold(Step::AddSums(sum, sum), Step::Count(ones_));
    return Step::AddSums(sum, rest_.Total());
  }

 private:
  // Sums of byte counts, kept as bytes for as long as they fit.
  class Bytes {
   public:
    void Add(Bits counts) {
      bytes_ = Step::AddBytes(bytes_, counts);
      if (++added_ < Step::kFoldWords) return;
      sum_ = Step::Fold(sum_, bytes_);
      bytes_ = Step::Zero();
      added_ = 0;
    }
    Sum Total() const { return Step::Fold(sum_, bytes_); }

   private:
    Sum sum_ = Step::Zero();
    Bits bytes_ = Step::Zero();
    int64_t added_ = 0;
  };

  Bits ones_ = Step::Zero(), twos_ = Step::Zero(), fours_ = Step::Zero();
  Bytes eights_, rest_;
};

template <typename Step>
void RunTileOfCarries(const Tile& tile, void* sums) {
  constexpr int kPanel = Step::kLanes * Step::kVectors;
  constexpr ptrdiff_t kWordBytes = sizeof(typename Step::Word);
  for (int p = 0; p < tile.pixels; ++p) {
    for (int lane = 0; lane < tile.lanes; lane += Step::kLanes) {
      typename Step::Sum sum = Step::Zero();
      for (int plane = tile.planes - 1; plane >= 0; --plane) {
        CarrySaveCounter<Step> counter;
        for (int64_t row = 0; row < tile.rows; ++row) {
          for (int64_t column = 0; column < tile.columns; ++column) {
            const unsigned char* x = tile.x + plane * tile.x_plane + p * tile.x_pixel +
                                     row * tile.x_row + column * tile.x_column;
            const unsigned char* w =
                tile.w + row * tile.w_row + column * tile.w_column + lane * kWordBytes;
            int64_t word = 0;
            for (; word + 8 <= tile.words; word += 8) {
              counter.AddEight(x + word * kWordBytes, w + word * kPanel * kWordBytes,
                               kPanel * kWordBytes);
            }
            for (; word < tile.words; ++word) {
              counter.AddOne(x + word * kWordBytes, w + word * kPanel * kWordBytes);
            }
          }
        }
        sum = Step::AddSums(Step::AddSums(sum, sum), counter.Total());
      }
      Step::Store(static_cast<typename Step::Scalar*>(sums) + p * kPanel + lane, sum);
    }
  }
}

// Carry-save adders where a tap's words come in eights, the step by step loop where they do not.
template <typename Step>
void RunTileOfBits(const Tile& tile, void* sums) {
  if (tile.words >= 8) return RunTileOfCarries<Step>(tile, sums);
  RunTileOfAnySize<Step>(tile, sums);
}

}  // namespace
}  // namespace onnxbin

#endif  // ONNXBIN_KERNELS_HARLEY_SEAL_H_
