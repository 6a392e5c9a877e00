// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "maps.h"

struct bpf_lb;  // the skeleton

namespace lb {

class LoadedObject;

// Where a map is taken from instead of being made: from bpffs, or from another object.
struct MapSource {
  std::string path;
  std::shared_ptr<const LoadedObject> object;  // null: from the path
};

struct LoadOptions {
  std::map<std::string, uint32_t> max_entries;
  std::vector<std::string> skip_programs;
  bool read_conntrack = false;                  // the kernel has the functions for it
  std::map<std::string, MapSource> reuse_maps;  // by map name
};

// What a map has to be like to stand in for another one.
struct MapShape {
  uint32_t type;
  uint32_t key_size;
  uint32_t value_size;
  uint32_t flags;
  uint32_t max_entries;
};

// Of the maps that the programs declare, by name, and of one on bpffs.
std::map<std::string, MapShape> DeclaredMaps();
MapShape ReadPinnedMap(const std::string& path);

enum class Hook { kCgroup, kDevice, kIterator };

struct Program {
  std::string name;
  int fd;
  Hook hook;
  uint32_t attach_type;  // enum bpf_attach_type, as the section name says
};

struct ProgramInfo {
  uint32_t id;
  uint64_t run_time;  // ns; counts only while kernel.bpf_stats_enabled is on
  uint64_t run_count;
};

// The BPF object in the kernel: all its programs and maps. Does not change after the load, so any
// thread may use it; whoever works with it holds a shared_ptr.
class LoadedObject {
 public:
  static std::shared_ptr<const LoadedObject> Load(const LoadOptions& options);
  LoadedObject(const LoadedObject&) = delete;
  LoadedObject& operator=(const LoadedObject&) = delete;

  // Both throw ArgumentError for a name that is not there (or a program that was left out).
  const Map& map(const std::string& name) const;
  const Program& program(const std::string& name) const;

 private:
  using Skeleton = std::unique_ptr<bpf_lb, void (*)(bpf_lb*)>;
  explicit LoadedObject(Skeleton skeleton);

  Skeleton skeleton_;  // first: the others borrow its file descriptors
  std::map<std::string, Map> maps_;
  std::map<std::string, Program> programs_;
};

ProgramInfo InfoOf(int program_fd);

}  // namespace lb
