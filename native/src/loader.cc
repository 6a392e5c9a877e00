// SPDX-License-Identifier: Apache-2.0
#include "loader.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <mutex>
#include <utility>

#include "../generated/bpf_lb.skel.h"
#include "errors.h"
#include "file_descriptor.h"
#include "libbpf_log.h"

namespace lb {
namespace {

bpf_map* FindMap(const bpf_object* object, const std::string& name) {
  bpf_map* map = bpf_object__find_map_by_name(object, name.c_str());
  if (map == nullptr) throw ArgumentError("there is no map '" + name + "'");
  return map;
}

void Resize(const bpf_object* object, const LoadOptions& options) {
  for (const auto& [name, max_entries] : options.max_entries) {
    int rc = bpf_map__set_max_entries(FindMap(object, name), max_entries);
    if (rc != 0) throw SystemError(-rc, "bpf_map__set_max_entries", name);
  }
}

void SkipPrograms(const bpf_object* object, const LoadOptions& options) {
  for (const std::string& name : options.skip_programs) {
    bpf_program* program = bpf_object__find_program_by_name(object, name.c_str());
    if (program == nullptr) throw ArgumentError("there is no program '" + name + "'");
    bpf_program__set_autoload(program, false);
  }
}

// Which property of a pinned map differs from the declared one, or ''. libbpf would take over
// whatever the pinned map is like.
std::string Mismatch(const bpf_map* declared, const MapShape& pinned, bool resized) {
  const auto differs = [](const char* what, uint32_t have, uint32_t need) {
    return std::string(what) + " is " + std::to_string(have) + " instead of " +
           std::to_string(need);
  };
  if (pinned.type != bpf_map__type(declared)) {
    return differs("type", pinned.type, bpf_map__type(declared));
  }
  if (pinned.key_size != bpf_map__key_size(declared)) {
    return differs("key size", pinned.key_size, bpf_map__key_size(declared));
  }
  if (pinned.value_size != bpf_map__value_size(declared)) {
    return differs("value size", pinned.value_size, bpf_map__value_size(declared));
  }
  if (pinned.flags != bpf_map__map_flags(declared)) {
    return differs("flags", pinned.flags, bpf_map__map_flags(declared));
  }
  if (resized && pinned.max_entries != bpf_map__max_entries(declared)) {
    return differs("max_entries", pinned.max_entries, bpf_map__max_entries(declared));
  }
  return "";
}

MapShape ShapeOf(int fd, const std::string& target) {
  bpf_map_info info{};
  uint32_t length = sizeof(info);
  if (bpf_map_get_info_by_fd(fd, &info, &length) != 0) {
    throw SystemError(errno, "bpf_map_get_info_by_fd", target);
  }
  return {info.type, info.key_size, info.value_size, info.map_flags, info.max_entries};
}

FileDescriptor OpenPinnedMap(const std::string& path) {
  FileDescriptor fd(bpf_obj_get(path.c_str()));
  if (!fd) throw SystemError(errno, "bpf_obj_get", path);
  return fd;
}

void ReuseMap(bpf_map* map, int fd, const std::string& target, bool resized) {
  std::string mismatch = Mismatch(map, ShapeOf(fd, target), resized);
  if (!mismatch.empty()) throw SystemError(EINVAL, "bpf_map__reuse_fd", target, mismatch);
  int rc = bpf_map__reuse_fd(map, fd);  // makes a file descriptor of its own
  if (rc != 0) throw SystemError(-rc, "bpf_map__reuse_fd", target);
}

void ReuseMaps(const bpf_object* object, const LoadOptions& options) {
  for (const auto& [name, source] : options.reuse_maps) {
    bpf_map* map = FindMap(object, name);
    const bool resized = options.max_entries.count(name) > 0;
    if (source.object) {
      ReuseMap(map, source.object->map(name).fd(), name, resized);
    } else {
      ReuseMap(map, OpenPinnedMap(source.path).get(), source.path, resized);
    }
  }
}

// The program or map that libbpf complained about last, or ''.
std::string Culprit(const std::string& log) {
  for (const char* mark : {"prog '", "map '"}) {
    size_t start = log.rfind(mark);
    if (start == std::string::npos) continue;
    start += std::char_traits<char>::length(mark);
    return log.substr(start, log.find('\'', start) - start);
  }
  return "";
}

Hook HookOf(const bpf_program* program) {
  switch (bpf_program__type(program)) {
    case BPF_PROG_TYPE_SCHED_CLS:
      return Hook::kDevice;
    case BPF_PROG_TYPE_TRACING:
      return Hook::kIterator;
    default:
      return Hook::kCgroup;
  }
}

std::mutex libelf;  // is built without locks

}  // namespace

std::map<std::string, MapShape> DeclaredMaps() {
  std::lock_guard lock(libelf);
  LibbpfLog log;
  std::unique_ptr<bpf_lb, void (*)(bpf_lb*)> skeleton(bpf_lb__open(), bpf_lb__destroy);
  if (!skeleton) throw SystemError(errno, "bpf_object__open", "bpf_lb", log.text());
  std::map<std::string, MapShape> shapes;
  const bpf_map* map;
  bpf_object__for_each_map (map, skeleton->obj) {
    shapes[bpf_map__name(map)] = {bpf_map__type(map), bpf_map__key_size(map),
                                  bpf_map__value_size(map), bpf_map__map_flags(map),
                                  bpf_map__max_entries(map)};
  }
  return shapes;
}

MapShape ReadPinnedMap(const std::string& path) { return ShapeOf(OpenPinnedMap(path).get(), path); }

std::shared_ptr<const LoadedObject> LoadedObject::Load(const LoadOptions& options) {
  std::lock_guard lock(libelf);
  LibbpfLog log;
  Skeleton skeleton(bpf_lb__open(), bpf_lb__destroy);
  if (!skeleton) throw SystemError(errno, "bpf_object__open", "bpf_lb", log.text());
  Resize(skeleton->obj, options);
  SkipPrograms(skeleton->obj, options);
  skeleton->rodata->lb_reads_conntrack = options.read_conntrack;
  ReuseMaps(skeleton->obj, options);
  int rc = bpf_lb__load(skeleton.get());
  if (rc != 0) throw SystemError(-rc, "bpf_object__load", Culprit(log.text()), log.text());
  return std::shared_ptr<const LoadedObject>(new LoadedObject(std::move(skeleton)));
}

LoadedObject::LoadedObject(Skeleton skeleton) : skeleton_(std::move(skeleton)) {
  bpf_map* map;
  bpf_object__for_each_map (map, skeleton_->obj) {
    maps_.try_emplace(bpf_map__name(map), map);
  }
  bpf_program* program;
  bpf_object__for_each_program (program, skeleton_->obj) {
    if (!bpf_program__autoload(program)) continue;
    const std::string name = bpf_program__name(program);
    programs_[name] = {name, bpf_program__fd(program), HookOf(program),
                       bpf_program__expected_attach_type(program)};
  }
}

const Map& LoadedObject::map(const std::string& name) const {
  auto found = maps_.find(name);
  if (found == maps_.end()) throw ArgumentError("there is no map '" + name + "'");
  return found->second;
}

const Program& LoadedObject::program(const std::string& name) const {
  auto found = programs_.find(name);
  if (found == programs_.end()) throw ArgumentError("program '" + name + "' is not loaded");
  return found->second;
}

ProgramInfo InfoOf(int program_fd) {
  bpf_prog_info info{};
  uint32_t length = sizeof(info);
  if (bpf_prog_get_info_by_fd(program_fd, &info, &length) != 0) {
    throw SystemError(errno, "bpf_prog_get_info_by_fd");
  }
  return {info.id, info.run_time_ns, info.run_cnt};
}

}  // namespace lb
