// SPDX-License-Identifier: Apache-2.0
// The exports of the addon: see types/native.d.ts.
#include <napi.h>

#include <memory>

#include "abi_layout.h"
#include "addon_data.h"
#include "arguments.h"
#include "async.h"
#include "datapath.h"
#include "directory_lock.h"
#include "host.h"
#include "javascript.h"
#include "link.h"
#include "loader.h"
#include "watch.h"

namespace lb {
namespace {

LoadOptions LoadOptionsArgument(const Napi::Value& value) {
  const Napi::Object given = ObjectArgument(value, "options");
  LoadOptions options;
  for (const auto& [name, entries] : EntriesArgument(given.Get("maxEntries"), "maxEntries")) {
    options.max_entries[name] =
        static_cast<uint32_t>(IntegerArgument(entries, "maxEntries." + name));
  }
  for (const auto& [name, source] : EntriesArgument(given.Get("reuseMaps"), "reuseMaps")) {
    const std::string place = "reuseMaps." + name;
    if (source.IsObject()) {
      options.reuse_maps[name].object = Datapath::Argument(source, place).Open();
    } else {
      options.reuse_maps[name].path = StringArgument(source, place);
    }
  }
  options.skip_programs = ListArgument(given.Get("skipPrograms"), "skipPrograms", StringArgument);
  const Napi::Value conntrack = given.Get("readConntrack");
  options.read_conntrack = !conntrack.IsUndefined() && BooleanArgument(conntrack, "readConntrack");
  return options;
}

Napi::Value Load(const Napi::CallbackInfo& info) {
  return PromiseWorker<std::shared_ptr<const LoadedObject>>::Start(
      info.Env(), "bpf-lb load", Napi::Object::New(info.Env()),
      [options = LoadOptionsArgument(info[0])] { return LoadedObject::Load(options); },
      [](Napi::Env env, std::shared_ptr<const LoadedObject> object) {
        return Datapath::Create(env, std::move(object));
      });
}

Napi::Object ToObject(Napi::Env env, const MapShape& shape) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("type", shape.type);
  object.Set("keySize", shape.key_size);
  object.Set("valueSize", shape.value_size);
  object.Set("flags", shape.flags);
  object.Set("maxEntries", shape.max_entries);
  return object;
}

Napi::Value GetDeclaredMaps(const Napi::CallbackInfo& info) {
  Napi::Object maps = Napi::Object::New(info.Env());
  for (const auto& [name, shape] : DeclaredMaps()) maps.Set(name, ToObject(info.Env(), shape));
  return maps;
}

Napi::Value GetPinnedMap(const Napi::CallbackInfo& info) {
  return ToObject(info.Env(), ReadPinnedMap(StringArgument(info[0], "path")));
}

Napi::Object Abi(Napi::Env env) {
  Napi::Object abi = Napi::Object::New(env);
  for (const StructLayout& layout : AbiLayout()) {
    Napi::Object fields = Napi::Object::New(env);
    for (const FieldLayout& field : layout.fields) {
      Napi::Object object = Napi::Object::New(env);
      object.Set("offset", Napi::Number::New(env, static_cast<double>(field.offset)));
      object.Set("size", Napi::Number::New(env, static_cast<double>(field.size)));
      fields.Set(field.name, object);
    }
    Napi::Object object = Napi::Object::New(env);
    object.Set("size", Napi::Number::New(env, static_cast<double>(layout.size)));
    object.Set("fields", fields);
    abi.Set(layout.name, object);
  }
  return abi;
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  auto data = std::make_unique<AddonData>();
  data->datapath = Napi::Persistent(Datapath::Define(env));
  data->link = Napi::Persistent(Link::Define(env));
  data->watch = Napi::Persistent(Watch::Define(env));
  data->directory_lock = Napi::Persistent(DirectoryLock::Define(env));
  env.SetInstanceData(data.release());
  exports.Set("load", Napi::Function::New<Callable<Load>>(env, "load"));
  exports.Set("netns", Napi::Function::New<Callable<GetNetworkNamespace>>(env, "netns"));
  exports.Set("netnsOf", Napi::Function::New<Callable<GetNetworkNamespaceOf>>(env, "netnsOf"));
  exports.Set("network", Napi::Function::New<Callable<GetNetwork>>(env, "network"));
  exports.Set("parseNetwork",
              Napi::Function::New<Callable<ParseNetworkMessages>>(env, "parseNetwork"));
  exports.Set("watchNetwork", Napi::Function::New<Callable<WatchNetwork>>(env, "watchNetwork"));
  exports.Set("canary", Napi::Function::New<Callable<RunCanary>>(env, "canary"));
  exports.Set("destroySockets",
              Napi::Function::New<Callable<DestroySocketsByNetlink>>(env, "destroySockets"));
  exports.Set("gracePeriod", Napi::Function::New<Callable<AwaitGracePeriod>>(env, "gracePeriod"));
  exports.Set("mountBpffs", Napi::Function::New<Callable<MountBpffsAt>>(env, "mountBpffs"));
  exports.Set("filesystemType",
              Napi::Function::New<Callable<GetFilesystemType>>(env, "filesystemType"));
  exports.Set("features", Napi::Function::New<Callable<GetFeatures>>(env, "features"));
  exports.Set("detachLink", Napi::Function::New<Callable<DetachLink>>(env, "detachLink"));
  exports.Set("pinnedLink", Napi::Function::New<Callable<GetPinnedLink>>(env, "pinnedLink"));
  exports.Set("pinnedMap", Napi::Function::New<Callable<GetPinnedMap>>(env, "pinnedMap"));
  exports.Set("declaredMaps", Napi::Function::New<Callable<GetDeclaredMaps>>(env, "declaredMaps"));
  exports.Set("lockDirectory",
              Napi::Function::New<Callable<MakeDirectoryLock>>(env, "lockDirectory"));
  exports.Set("detachFilter", Napi::Function::New<Callable<DetachFilter>>(env, "detachFilter"));
  exports.Set("abi", Abi(env));
  return exports;
}

NODE_API_MODULE(bpf_lb, Init)

}  // namespace
}  // namespace lb
