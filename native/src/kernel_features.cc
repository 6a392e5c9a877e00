// SPDX-License-Identifier: Apache-2.0
#include "kernel_features.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/membarrier.h>
#include <net/if.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "file_descriptor.h"
#include "libbpf_log.h"

namespace lb {
namespace {

int MapError() {
  const FileDescriptor map(
      bpf_map_create(BPF_MAP_TYPE_ARRAY, "bpf_lb_probe", sizeof(uint32_t), 8, 1, nullptr));
  return map ? 0 : errno;
}

int TcxError() {
  const unsigned loopback = if_nametoindex("lo");
  if (loopback == 0) return errno;
  struct bpf_prog_query_opts query{};
  query.sz = sizeof(query);
  return -::bpf_prog_query_opts(static_cast<int>(loopback), BPF_TCX_INGRESS, &query);
}

bool HasGracePeriod() {
  const long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
  return commands > 0 && (commands & MEMBARRIER_CMD_GLOBAL) != 0;
}

template <typename Question, typename Ask>
std::vector<bool> Each(const std::vector<Question>& questions, Ask ask) {
  std::vector<bool> answers;
  for (const Question& question : questions) answers.push_back(ask(question));
  return answers;
}

using Btf = std::unique_ptr<btf, void (*)(btf*)>;

bool HasFunction(const Btf& types, const std::string& name) {
  return types && btf__find_by_name_kind(types.get(), name.c_str(), BTF_KIND_FUNC) > 0;
}

// Programs may call functions of a module only if their loader may list the kernel's BTF objects,
// which takes CAP_SYS_ADMIN.
Btf ModuleBtf(const char* module, const Btf& kernel) {
  uint32_t id = 0;
  if (!kernel || bpf_btf_get_next_id(0, &id) != 0) return Btf(nullptr, btf__free);
  return Btf(btf__load_module_btf(module, kernel.get()), btf__free);
}

std::vector<bool> HasFunctions(const std::vector<std::string>& names) {
  const Btf kernel(btf__load_vmlinux_btf(), btf__free);
  const Btf conntrack = ModuleBtf("nf_conntrack", kernel);
  return Each(names, [&](const std::string& name) {
    return HasFunction(kernel, name) || HasFunction(conntrack, name);
  });
}

}  // namespace

FeatureAnswers AskKernel(const FeatureQuestions& questions) {
  const LibbpfLog log;  // what libbpf says of a kernel that lacks something is no news
  FeatureAnswers answers;
  answers.map_error = MapError();
  answers.program_types = Each(questions.program_types, [](uint32_t type) {
    return libbpf_probe_bpf_prog_type(static_cast<bpf_prog_type>(type), nullptr) == 1;
  });
  answers.map_types = Each(questions.map_types, [](uint32_t type) {
    return libbpf_probe_bpf_map_type(static_cast<bpf_map_type>(type), nullptr) == 1;
  });
  answers.helpers = Each(questions.helpers, [](const HelperQuestion& question) {
    return libbpf_probe_bpf_helper(static_cast<bpf_prog_type>(question.program_type),
                                   static_cast<bpf_func_id>(question.helper), nullptr) == 1;
  });
  answers.functions = HasFunctions(questions.functions);
  answers.tcx_error = TcxError();
  answers.grace_period = HasGracePeriod();
  return answers;
}

}  // namespace lb
