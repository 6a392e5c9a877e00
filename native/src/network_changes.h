// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "event_source.h"
#include "file_descriptor.h"

namespace lb {

// Says that links, addresses, routes or routing rules of a network namespace have changed, not
// what: whoever wants to know reads them anew, since messages can be lost. The namespace is that of
// the thread that makes it.
class NetworkChanges : public EventSource {
 public:
  NetworkChanges();

  int fd() const override { return socket_.get(); }
  // One event for all messages that have come.
  void Read(const Deliver& deliver) override;

 private:
  FileDescriptor socket_;
};

}  // namespace lb
