// SPDX-License-Identifier: Apache-2.0
#include "iterate.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "errors.h"
#include "file_descriptor.h"

namespace lb {
namespace {

constexpr size_t kPiece = 32 * 1024;  // as much as the kernel collects before it hands it out

// An iterator program that is ready to run. Which namespace a run sees is decided when it begins.
struct Iterator {
  std::string program;
  FileDescriptor link;
};

Iterator Prepare(const Program& program) {
  if (program.hook != Hook::kIterator) {
    throw ArgumentError("program '" + program.name + "' is not an iterator");
  }
  FileDescriptor link(bpf_link_create(program.fd, 0, BPF_TRACE_ITER, nullptr));
  if (!link) throw SystemError(errno, "bpf_link_create", program.name);
  return {program.name, std::move(link)};
}

void Run(const Iterator& iterator, std::vector<uint8_t>& records) {
  const FileDescriptor fd(bpf_iter_create(iterator.link.get()));
  if (!fd) throw SystemError(errno, "bpf_iter_create", iterator.program);
  size_t size = records.size();
  for (;;) {
    records.resize(size + kPiece);
    const ssize_t length = read(fd.get(), records.data() + size, kPiece);
    // EAGAIN: very many sockets were seen, and none was written.
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (length < 0) throw SystemError(errno, "read", iterator.program);
    if (length == 0) break;
    size += static_cast<size_t>(length);
  }
  records.resize(size);
}

}  // namespace

Iteration Iterate(const std::vector<const Program*>& programs) {
  std::vector<Iterator> iterators;
  for (const Program* program : programs) iterators.push_back(Prepare(*program));
  Iteration result;
  result.visits = VisitNetworkNamespaces([&] {
    for (const Iterator& iterator : iterators) Run(iterator, result.records);
  });
  return result;
}

}  // namespace lb
