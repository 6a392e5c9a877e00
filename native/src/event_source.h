// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>

namespace lb {

// What has happened: a record, or the bare fact if `data` is null.
struct Event {
  const void* data = nullptr;
  size_t size = 0;
};

// Something that is read when its file descriptor says so.
class EventSource {
 public:
  // Takes one event; false ends the reading. The event's bytes are valid during the call only.
  using Deliver = std::function<bool(Event)>;

  virtual ~EventSource() = default;
  EventSource(const EventSource&) = delete;
  EventSource& operator=(const EventSource&) = delete;

  // Readable as long as there is something to read.
  virtual int fd() const = 0;
  // Delivers what is there, but no more than is fair to others on the same event loop. Does not
  // wait.
  virtual void Read(const Deliver& deliver) = 0;

 protected:
  EventSource() = default;
};

}  // namespace lb
