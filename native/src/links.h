// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "file_descriptor.h"

struct bpf_tc_hook;

namespace lb {

struct Program;

enum class Direction { kIngress, kEgress };

// Tells one clsact filter from the others of the same device and direction.
struct FilterPlace {
  uint32_t priority;
  uint32_t handle;
};

// What the kernel has at a hook: the program, another one in its place, or nothing.
enum class HookState { kAttached, kReplaced, kDetached };

// A program at a hook. The destructor detaches it, unless it was pinned.
class Attachment {
 public:
  virtual ~Attachment() = default;
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;

  // The datapath that detaches it when it is closed.
  const void* owner = nullptr;

  // Of the link, or 0 for a filter.
  virtual uint32_t id() const = 0;
  // Null for a link.
  virtual const FilterPlace* place() const { return nullptr; }
  // Puts another program in the place of this one, between two packets.
  virtual void Update(const Program& program) = 0;
  // Lets the attachment outlive this process.
  virtual void Pin(const std::string& path) = 0;
  virtual HookState State() const = 0;
  bool Attached() const { return State() == HookState::kAttached; }
  // Id of the cgroup that a link is attached to; 0: none.
  virtual uint64_t CgroupId() const { return 0; }
  // Removes the program from the hook and the pins that were made here. Idempotent.
  virtual void Detach() = 0;

 protected:
  Attachment() = default;
};

// What a link hangs on; 0 for what it is not, or no longer is.
struct LinkPlace {
  uint64_t cgroup = 0;
  uint32_t ifindex = 0;
};

LinkPlace ReadPinnedLink(const std::string& path);

// Takes the program of the link pinned at `path` off its hook; link and pin stay.
void DetachPinned(const std::string& path);

// A bpf_link: to a cgroup or, with tcx, to a device. The kernel detaches it with its last
// reference.
class LinkAttachment : public Attachment {
 public:
  static std::unique_ptr<Attachment> ToCgroup(const Program& program, const std::string& path);
  static std::unique_ptr<Attachment> ToDevice(const Program& program, uint32_t ifindex);
  // What another process has made and pinned. The pin is not this object's, and keeps it attached.
  static std::unique_ptr<Attachment> FromPin(const std::string& path);

  uint32_t id() const override { return id_; }
  void Update(const Program& program) override;
  void Pin(const std::string& path) override;
  HookState State() const override;
  uint64_t CgroupId() const override;
  void Detach() override;

 private:
  explicit LinkAttachment(FileDescriptor link);

  FileDescriptor link_;
  uint32_t id_ = 0;
  uint32_t program_id_ = 0;
  std::vector<std::string> pins_;
};

// A filter of the clsact qdisc, for kernels without tcx. No file descriptor keeps it, so that
// it is removed by hand.
class ClsactAttachment : public Attachment {
 public:
  // Makes the qdisc where there is none, and never removes it: others may use it by then.
  static std::unique_ptr<Attachment> ToDevice(const Program& program, uint32_t ifindex,
                                              Direction direction);
  // What another process has made and pinned.
  static std::unique_ptr<Attachment> FromPin(const std::string& path, uint32_t ifindex,
                                             Direction direction, FilterPlace place);
  ~ClsactAttachment() override;

  uint32_t id() const override { return 0; }
  const FilterPlace* place() const override { return &place_; }
  void Update(const Program& program) override;
  // Pins the program; the filter stays when this object goes.
  void Pin(const std::string& path) override;
  HookState State() const override;
  void Detach() override;

 private:
  ClsactAttachment(FileDescriptor program, uint32_t ifindex, Direction direction);
  void Attach();
  bpf_tc_hook Hook() const;

  FileDescriptor program_;
  const int ifindex_;
  const Direction direction_;
  uint32_t program_id_ = 0;
  FilterPlace place_{};
  std::vector<std::string> pins_;
};

}  // namespace lb
