// SPDX-License-Identifier: Apache-2.0
#include "ring_buffer.h"

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <cerrno>
#include <utility>

#include "errors.h"

namespace lb {
namespace {

// In one turn of the event loop.
constexpr size_t kRecords = 256;

}  // namespace

RingBuffer::RingBuffer(std::shared_ptr<const LoadedObject> object, const std::string& map)
    : object_(std::move(object)), ring_(nullptr, ring_buffer__free) {
  const Map& ring = object_->map(map);
  if (ring.info().type != BPF_MAP_TYPE_RINGBUF) {
    throw ArgumentError("map '" + map + "' is not a ring buffer");
  }
  ring_.reset(ring_buffer__new(ring.fd(), Take, this, nullptr));
  if (!ring_) throw SystemError(errno, "ring_buffer__new", map);
}

int RingBuffer::fd() const { return ring_buffer__epoll_fd(ring_.get()); }

void RingBuffer::Read(const Deliver& deliver) {
  deliver_ = &deliver;
  ring_buffer__consume_n(ring_.get(), kRecords);  // fails only as Take() tells it to
  deliver_ = nullptr;
}

int RingBuffer::Take(void* self, void* data, size_t size) {
  return (*static_cast<RingBuffer*>(self)->deliver_)({data, size}) ? 0 : -ECANCELED;
}

}  // namespace lb
