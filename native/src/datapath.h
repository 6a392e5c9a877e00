// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "link.h"
#include "loader.h"
#include "watcher.h"
#include "wrapped.h"

namespace lb {

// The Datapath of types/native.d.ts: a loaded object and the links made through it. Work on other
// threads holds the loaded object, never this: close() may come while it runs.
class Datapath : public Wrapped<Datapath> {
 public:
  static Napi::Function Define(Napi::Env env);
  static Napi::Object Create(Napi::Env env, std::shared_ptr<const LoadedObject> object);

  // An argument that has to be one. Throws ArgumentError.
  static Datapath& Argument(const Napi::Value& value, const std::string& name);

  explicit Datapath(const Napi::CallbackInfo& info);

  // Puts a program of this datapath in the place of the attached one. The attachment is this one's
  // from then on.
  void TakeOver(const SharedAttachment& attachment, const std::string& program);

  std::shared_ptr<const LoadedObject> Open() const;  // throws ClosedError

 private:
  using Attach = std::function<std::unique_ptr<Attachment>(const Program&)>;

  Napi::Value Commit(const Napi::CallbackInfo& info);
  Napi::Value CommitNow(const Napi::CallbackInfo& info);
  Napi::Value Lookup(const Napi::CallbackInfo& info);
  Napi::Value Dump(const Napi::CallbackInfo& info);
  Napi::Value Read(const Napi::CallbackInfo& info);
  Napi::Value IteratePrograms(const Napi::CallbackInfo& info);
  Napi::Value GetMapInfo(const Napi::CallbackInfo& info);
  Napi::Value GetProgramInfo(const Napi::CallbackInfo& info);
  Napi::Value AttachCgroup(const Napi::CallbackInfo& info);
  Napi::Value AttachTcx(const Napi::CallbackInfo& info);
  Napi::Value AttachClsact(const Napi::CallbackInfo& info);
  Napi::Value AdoptLink(const Napi::CallbackInfo& info);
  Napi::Value AdoptFilter(const Napi::CallbackInfo& info);
  Napi::Value GetCgroupPrograms(const Napi::CallbackInfo& info);
  Napi::Value PinMap(const Napi::CallbackInfo& info);
  Napi::Value WatchRing(const Napi::CallbackInfo& info);
  Napi::Value RunTest(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  Napi::Value StartAttach(const Napi::CallbackInfo& info, Attach attach);
  void Own(const SharedAttachment& attachment);

  std::shared_ptr<const LoadedObject> object_;
  std::vector<std::weak_ptr<std::unique_ptr<Attachment>>> attachments_;
  std::vector<std::weak_ptr<Watcher>> watchers_;
};

}  // namespace lb
