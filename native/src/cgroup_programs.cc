// SPDX-License-Identifier: Apache-2.0
#include "cgroup_programs.h"

#include <bpf/bpf.h>
#include <fcntl.h>

#include <array>
#include <cerrno>

#include "errors.h"
#include "file_descriptor.h"
#include "loader.h"

namespace lb {
namespace {

// More than the kernel lets anybody attach to one cgroup (BPF_CGROUP_MAX_PROGS).
constexpr size_t kPrograms = 256;

std::string NameOf(uint32_t id) {
  const FileDescriptor program(bpf_prog_get_fd_by_id(id));
  if (!program) return "";
  bpf_prog_info info{};
  uint32_t length = sizeof(info);
  if (bpf_prog_get_info_by_fd(program.get(), &info, &length) != 0) return "";
  return info.name;
}

}  // namespace

CgroupPrograms ProgramsAtCgroup(const Program& program, const std::string& path, bool effective) {
  if (program.hook != Hook::kCgroup)
    throw ArgumentError("program '" + program.name + "' is not for a cgroup");
  const FileDescriptor cgroup(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!cgroup) throw SystemError(errno, "open", path);
  std::array<uint32_t, kPrograms> ids{};
  uint32_t flags = 0;
  uint32_t count = ids.size();
  if (bpf_prog_query(cgroup.get(), static_cast<bpf_attach_type>(program.attach_type),
                     effective ? BPF_F_QUERY_EFFECTIVE : 0, &flags, ids.data(), &count) != 0 &&
      errno != ENOSPC) {
    throw SystemError(errno, "bpf_prog_query", path);
  }
  CgroupPrograms result{(flags & BPF_F_ALLOW_MULTI) != 0, {}};
  for (size_t i = 0; i < count && i < ids.size(); ++i) {
    result.programs.push_back({ids[i], NameOf(ids[i])});
  }
  return result;
}

}  // namespace lb
