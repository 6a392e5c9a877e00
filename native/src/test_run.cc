// SPDX-License-Identifier: Apache-2.0
#include "test_run.h"

#include <bpf/bpf.h>

#include <cerrno>

#include "errors.h"
#include "loader.h"

namespace lb {
namespace {

constexpr size_t kGrowth = 256;  // what a program may add to the packet

}  // namespace

TestResult TestRun(const Program& program, const TestPacket& packet) {
  TestResult result{};
  result.data.resize(packet.size + kGrowth);
  __sk_buff context{};
  context.ifindex = packet.ifindex;
  context.mark = packet.mark;
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet.data, .data_out = result.data.data(),
              .data_size_in = static_cast<uint32_t>(packet.size),
              .data_size_out = static_cast<uint32_t>(result.data.size()), .ctx_in = &context,
              .ctx_out = &context, .ctx_size_in = sizeof(context), .ctx_size_out = sizeof(context),
              .repeat = static_cast<int>(packet.repeat), .flags = packet.flags);
  if (bpf_prog_test_run_opts(program.fd, &options) != 0) {
    throw SystemError(errno, "bpf_prog_test_run_opts", program.name);
  }
  result.data.resize(options.data_size_out);
  result.retval = options.retval;
  result.mark = context.mark;
  result.duration = options.duration;
  return result;
}

}  // namespace lb
