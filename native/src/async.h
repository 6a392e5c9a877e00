// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "javascript.h"

namespace lb {

// Runs `work` on libuv's thread pool and settles a promise with what `finish` makes of its result.
// `work` must not touch JavaScript; `keep` (its buffers, its receiver) stays alive until it is
// done.
template <typename Result>
class PromiseWorker {
 public:
  using Work = std::function<Result()>;
  using Finish = std::function<Napi::Value(Napi::Env, Result)>;

  static Napi::Promise Start(Napi::Env env, const char* name, Napi::Object keep, Work work,
                             Finish finish) {
    std::unique_ptr<PromiseWorker> worker(
        new PromiseWorker(env, keep, std::move(work), std::move(finish)));
    Napi::Promise promise = worker->deferred_.Promise();
    if (napi_create_async_work(env, nullptr, Napi::String::New(env, name), Execute, Complete,
                               worker.get(), &worker->handle_) != napi_ok ||
        napi_queue_async_work(env, worker->handle_) != napi_ok) {
      throw Napi::Error::New(env);
    }
    worker.release();  // Complete() owns it now
    return promise;
  }

  ~PromiseWorker() {
    if (handle_ != nullptr) napi_delete_async_work(env_, handle_);
  }
  PromiseWorker(const PromiseWorker&) = delete;
  PromiseWorker& operator=(const PromiseWorker&) = delete;

 private:
  PromiseWorker(Napi::Env env, Napi::Object keep, Work work, Finish finish)
      : env_(env),
        deferred_(env),
        keep_(Napi::Persistent(keep)),
        work_(std::move(work)),
        finish_(std::move(finish)) {}

  static void Execute(napi_env, void* data) {
    auto* self = static_cast<PromiseWorker*>(data);
    try {
      self->result_.emplace(self->work_());
    } catch (...) {
      self->failure_ = std::current_exception();
    }
  }

  static void Complete(napi_env, napi_status, void* data) {
    std::unique_ptr<PromiseWorker> self(static_cast<PromiseWorker*>(data));
    try {
      self->Settle();
    } catch (const Napi::Error&) {
      // Every Node-API call fails while a worker thread is terminated: nobody is left to be told.
    }
  }

  void Settle() {
    Napi::HandleScope scope(env_);
    if (!failure_ && result_) {
      try {
        deferred_.Resolve(finish_(env_, std::move(*result_)));
        return;
      } catch (...) {
        failure_ = std::current_exception();
      }
    }
    if (failure_) deferred_.Reject(ToJavaScript(env_, failure_).Value());
  }

  const Napi::Env env_;
  const Napi::Promise::Deferred deferred_;
  Napi::ObjectReference keep_;
  Work work_;
  Finish finish_;
  std::optional<Result> result_;
  std::exception_ptr failure_;
  napi_async_work handle_ = nullptr;
};

}  // namespace lb
