#include "scratch_buffer.h"

#include <utility>

namespace onnxbin {

ScratchBuffer::Memory& ScratchBuffer::Kept() {
  thread_local Memory kept;
  return kept;
}

ScratchBuffer::ScratchBuffer(size_t bytes) : memory_(std::exchange(Kept(), {})) {
#ifdef ONNXBIN_EXACT_BUFFERS
  memory_ = {};
#endif
  if (memory_.bytes >= bytes && memory_.buffer.data()) return;
  memory_ = {};  // before there is more
  memory_ = {AlignedBuffer(bytes), bytes};
}

ScratchBuffer::~ScratchBuffer() { Kept() = std::move(memory_); }

}  // namespace onnxbin
