// SPDX-License-Identifier: Apache-2.0
#include "datapath.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "addon_data.h"
#include "arguments.h"
#include "async.h"
#include "cgroup_programs.h"
#include "errors.h"
#include "iterate.h"
#include "javascript.h"
#include "operations.h"
#include "ring_buffer.h"
#include "test_run.h"
#include "watch.h"

namespace lb {
namespace {

// Uint32 argument, or a default where it is undefined.
uint32_t Optional(const Napi::Object& options, const char* name, uint32_t otherwise,
                  uint32_t maximum) {
  const Napi::Value value = options.Get(name);
  return value.IsUndefined() ? otherwise
                             : static_cast<uint32_t>(IntegerArgument(value, name, maximum));
}

// Keeps a list of things that may be gone by now from growing for ever.
template <typename T>
void Remember(const std::shared_ptr<T>& item, std::vector<std::weak_ptr<T>>& items) {
  items.erase(
      std::remove_if(items.begin(), items.end(), [](const auto& other) { return other.expired(); }),
      items.end());
  items.push_back(item);
}

}  // namespace

Napi::Function Datapath::Define(Napi::Env env) {
  return DefineClass(
      env, "Datapath",
      {Method<&Datapath::Commit>("commit"), Method<&Datapath::CommitNow>("commitNow"),
       Method<&Datapath::Lookup>("lookup"), Method<&Datapath::Dump>("dump"),
       Method<&Datapath::Read>("read"), Method<&Datapath::IteratePrograms>("iterate"),
       Method<&Datapath::GetMapInfo>("mapInfo"), Method<&Datapath::GetProgramInfo>("programInfo"),
       Method<&Datapath::AttachCgroup>("attachCgroup"), Method<&Datapath::AttachTcx>("attachTcx"),
       Method<&Datapath::AttachClsact>("attachClsact"), Method<&Datapath::AdoptLink>("adoptLink"),
       Method<&Datapath::AdoptFilter>("adoptFilter"), Method<&Datapath::PinMap>("pinMap"),
       Method<&Datapath::GetCgroupPrograms>("cgroupPrograms"),
       Method<&Datapath::WatchRing>("watchRing"), Method<&Datapath::RunTest>("testRun"),
       Method<&Datapath::Close>("close")});
}

Napi::Object Datapath::Create(Napi::Env env, std::shared_ptr<const LoadedObject> object) {
  return env.GetInstanceData<AddonData>()->datapath.New({ToExternal(env, object)});
}

Datapath& Datapath::Argument(const Napi::Value& value, const std::string& name) {
  const Napi::Function constructor = value.Env().GetInstanceData<AddonData>()->datapath.Value();
  if (!value.IsObject() || !value.As<Napi::Object>().InstanceOf(constructor)) {
    throw ArgumentError(name + " must be a Datapath");
  }
  return *Unwrap(value.As<Napi::Object>());
}

Datapath::Datapath(const Napi::CallbackInfo& info)
    : Wrapped(info), object_(FromExternal<std::shared_ptr<const LoadedObject>>(info)) {}

std::shared_ptr<const LoadedObject> Datapath::Open() const {
  if (!object_) throw ClosedError("datapath");
  return object_;
}

Napi::Value Datapath::Commit(const Napi::CallbackInfo& info) {
  const auto object = Open();
  const Napi::Array keep = Napi::Array::New(info.Env());
  return PromiseWorker<std::monostate>::Start(
      info.Env(), "bpf-lb commit", keep,
      [object, operations = OperationsArgument(info[0], *object, keep)] {
        RunOperations(operations);
        return std::monostate();
      },
      [](Napi::Env env, std::monostate) { return env.Undefined(); });
}

Napi::Value Datapath::CommitNow(const Napi::CallbackInfo& info) {
  const auto object = Open();
  RunOperations(OperationsArgument(info[0], *object, Napi::Array::New(info.Env())));
  return info.Env().Undefined();
}

Napi::Value Datapath::Lookup(const Napi::CallbackInfo& info) {
  const auto object = Open();
  const Map& map = object->map(StringArgument(info[0], "map"));
  const Bytes key = BytesArgument(info[1], "key");
  if (key.size != map.key_size()) {
    throw RangeError("key must have " + std::to_string(map.key_size()) + " bytes");
  }
  const auto value = map.Lookup(key.data);
  if (!value) return info.Env().Undefined();
  return ToUint8Array(info.Env(), value->data(), value->size());
}

Napi::Value Datapath::Dump(const Napi::CallbackInfo& info) {
  const auto object = Open();
  const Map& map = object->map(StringArgument(info[0], "map"));
  return PromiseWorker<MapElements>::Start(
      info.Env(), "bpf-lb dump", info.This().As<Napi::Object>(),
      [object, &map] { return map.Dump(); },
      [](Napi::Env env, const MapElements& elements) {
        Napi::Object result = Napi::Object::New(env);
        result.Set("keys", ToUint8Array(env, elements.keys.data(), elements.keys.size()));
        result.Set("values", ToUint8Array(env, elements.values.data(), elements.values.size()));
        result.Set("count", Napi::Number::New(env, static_cast<double>(elements.count)));
        return result;
      });
}

Napi::Value Datapath::Read(const Napi::CallbackInfo& info) {
  const auto object = Open();
  const Map& map = object->map(StringArgument(info[0], "map"));
  const uint64_t offset = IntegerArgument(info[1], "offset", UINT64_MAX);
  const uint64_t length = IntegerArgument(info[2], "length", UINT64_MAX);
  map.RequireInside(offset, length);
  return ToUint8Array(info.Env(), map.At(offset), length);
}

Napi::Value Datapath::IteratePrograms(const Napi::CallbackInfo& info) {
  const auto object = Open();
  std::vector<const Program*> programs;
  for (const std::string& name : ListArgument(info[0], "programs", StringArgument)) {
    programs.push_back(&object->program(name));
  }
  return PromiseWorker<Iteration>::Start(
      info.Env(), "bpf-lb iterate", info.This().As<Napi::Object>(),
      [object, programs = std::move(programs)] { return Iterate(programs); },
      [](Napi::Env env, const Iteration& iteration) {
        Napi::Object result = Napi::Object::New(env);
        result.Set("records",
                   ToUint8Array(env, iteration.records.data(), iteration.records.size()));
        result.Set("namespaces", iteration.visits.namespaces);
        result.Set("refused", iteration.visits.refused);
        return result;
      });
}

Napi::Value Datapath::GetMapInfo(const Napi::CallbackInfo& info) {
  const auto object = Open();
  const MapInfo& map = object->map(StringArgument(info[0], "map")).info();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("id", map.id);
  result.Set("type", map.type);
  result.Set("keySize", map.key_size);
  result.Set("valueSize", map.value_size);
  result.Set("maxEntries", map.max_entries);
  return result;
}

Napi::Value Datapath::GetProgramInfo(const Napi::CallbackInfo& info) {
  const auto object = Open();
  const ProgramInfo program = InfoOf(object->program(StringArgument(info[0], "program")).fd);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("id", program.id);
  result.Set("runTime", Napi::BigInt::New(info.Env(), program.run_time));
  result.Set("runCount", Napi::BigInt::New(info.Env(), program.run_count));
  return result;
}

Napi::Value Datapath::AttachCgroup(const Napi::CallbackInfo& info) {
  const std::string path = StringArgument(info[1], "path");
  return StartAttach(
      info, [path](const Program& program) { return LinkAttachment::ToCgroup(program, path); });
}

Napi::Value Datapath::AttachTcx(const Napi::CallbackInfo& info) {
  const uint32_t ifindex = IfindexArgument(info[1]);
  return StartAttach(info, [ifindex](const Program& program) {
    return LinkAttachment::ToDevice(program, ifindex);
  });
}

Napi::Value Datapath::AttachClsact(const Napi::CallbackInfo& info) {
  const uint32_t ifindex = IfindexArgument(info[1]);
  const Direction direction = DirectionArgument(info[2]);
  return StartAttach(info, [ifindex, direction](const Program& program) {
    return ClsactAttachment::ToDevice(program, ifindex, direction);
  });
}

Napi::Value Datapath::AdoptLink(const Napi::CallbackInfo& info) {
  const std::string path = StringArgument(info[1], "path");
  return StartAttach(info, [path](const Program& program) {
    auto attachment = LinkAttachment::FromPin(path);
    attachment->Update(program);
    return attachment;
  });
}

Napi::Value Datapath::AdoptFilter(const Napi::CallbackInfo& info) {
  const std::string path = StringArgument(info[1], "path");
  const uint32_t ifindex = IfindexArgument(info[2]);
  const Direction direction = DirectionArgument(info[3]);
  const FilterPlace place = FilterPlaceArgument(info[4]);
  return StartAttach(info, [path, ifindex, direction, place](const Program& program) {
    auto attachment = ClsactAttachment::FromPin(path, ifindex, direction, place);
    attachment->Update(program);
    return attachment;
  });
}

Napi::Value Datapath::StartAttach(const Napi::CallbackInfo& info, Attach attach) {
  const auto object = Open();
  const Program& program = object->program(StringArgument(info[0], "program"));
  return PromiseWorker<std::unique_ptr<Attachment>>::Start(
      info.Env(), "bpf-lb attach", info.This().As<Napi::Object>(),
      [object, &program, attach = std::move(attach)] { return attach(program); },
      [this](Napi::Env env, std::unique_ptr<Attachment> made) -> Napi::Value {
        if (!object_) throw ClosedError("datapath");  // meanwhile: what was made is detached again
        const auto attachment = std::make_shared<std::unique_ptr<Attachment>>(std::move(made));
        Own(attachment);
        return Link::Create(env, attachment);
      });
}

void Datapath::TakeOver(const SharedAttachment& attachment, const std::string& program) {
  (*attachment)->Update(Open()->program(program));
  Own(attachment);
}

void Datapath::Own(const SharedAttachment& attachment) {
  (*attachment)->owner = this;
  Remember(attachment, attachments_);
}

Napi::Value Datapath::GetCgroupPrograms(const Napi::CallbackInfo& info) {
  const auto object = Open();
  const Program& program = object->program(StringArgument(info[0], "program"));
  const bool effective = info[2].ToBoolean();
  const CgroupPrograms found =
      ProgramsAtCgroup(program, StringArgument(info[1], "path"), effective);
  Napi::Array programs = Napi::Array::New(info.Env(), found.programs.size());
  for (uint32_t i = 0; i < found.programs.size(); ++i) {
    Napi::Object item = Napi::Object::New(info.Env());
    item.Set("id", found.programs[i].id);
    item.Set("name", found.programs[i].name);
    programs.Set(i, item);
  }
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("multi", found.multi);
  result.Set("programs", programs);
  return result;
}

Napi::Value Datapath::PinMap(const Napi::CallbackInfo& info) {
  const auto object = Open();
  object->map(StringArgument(info[0], "map")).Pin(StringArgument(info[1], "path"));
  return info.Env().Undefined();
}

Napi::Value Datapath::WatchRing(const Napi::CallbackInfo& info) {
  const auto object = Open();
  const std::string map = StringArgument(info[0], "map");
  const Napi::Function on_record = FunctionArgument(info[1], "onRecord");
  const auto watcher =
      std::make_shared<Watcher>(info.Env(), std::make_unique<RingBuffer>(object, map), on_record);
  const Napi::Object watch = Watch::Create(info.Env(), watcher, on_record);
  Remember(watcher, watchers_);
  return watch;
}

Napi::Value Datapath::RunTest(const Napi::CallbackInfo& info) {
  const auto object = Open();
  const Program& program = object->program(StringArgument(info[0], "program"));
  const Napi::Object options = ObjectArgument(info[1], "options");
  TestPacket packet{};
  packet.ifindex = Optional(options, "ifindex", 0, INT32_MAX);
  packet.mark = Optional(options, "mark", 0, UINT32_MAX);
  packet.repeat = Optional(options, "repeat", 1, INT32_MAX);
  packet.flags = Optional(options, "flags", 0, UINT32_MAX);
  const Bytes data = BytesArgument(options.Get("data"), "data");
  packet.data = data.data;
  packet.size = data.size;
  const TestResult result = TestRun(program, packet);
  Napi::Object value = Napi::Object::New(info.Env());
  value.Set("retval", result.retval);
  value.Set("data", ToUint8Array(info.Env(), result.data.data(), result.data.size()));
  value.Set("mark", result.mark);
  value.Set("duration", result.duration);
  return value;
}

Napi::Value Datapath::Close(const Napi::CallbackInfo& info) {
  for (const auto& weak : attachments_) {
    const SharedAttachment attachment = weak.lock();
    if (attachment && *attachment && (*attachment)->owner == this) attachment->reset();
  }
  attachments_.clear();
  for (const auto& weak : watchers_) {
    if (const auto watcher = weak.lock()) watcher->Close();
  }
  watchers_.clear();
  object_.reset();
  return info.Env().Undefined();
}

}  // namespace lb
