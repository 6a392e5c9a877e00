// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "event_source.h"
#include "loader.h"

struct ring_buffer;

namespace lb {

// The records of a BPF ring buffer. Every record is read once, whoever reads it.
class RingBuffer : public EventSource {
 public:
  // Throws ArgumentError if there is no such map, or if it is not a ring buffer.
  RingBuffer(std::shared_ptr<const LoadedObject> object, const std::string& map);

  int fd() const override;
  void Read(const Deliver& deliver) override;

 private:
  static int Take(void* self, void* data, size_t size);

  std::shared_ptr<const LoadedObject> object_;  // first: the ring borrows its file descriptor
  std::unique_ptr<ring_buffer, void (*)(ring_buffer*)> ring_;
  const Deliver* deliver_ = nullptr;  // during Read()
};

}  // namespace lb
