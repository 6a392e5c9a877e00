// SPDX-License-Identifier: Apache-2.0
/*
 * choose FILE MILLISECONDS THREADS ADDRESS/PORT...: makes threads ask the frontends for backends,
 * as fast as they can, and checks that each backend is of a set that was put while they asked.
 *
 * FILE has two numbers of 64 bits: the last generation of sets that is served for certain, and the
 * last one that may be served already. A backend of generation G is 10.(G >> 8).(G & 255).x, and
 * x - 1 - 4 * (position of the frontend) is its place, less than the size of its set, 1 + G % 4.
 * Such addresses have to be local: then the source address of a connected socket is that of its
 * backend.
 *
 * Writes a line of JSON: for each frontend and size of a set, how often each place was chosen; and
 * how many choices were `mixed`, of no set that could be served, or `failed`.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_THREADS = 8, MAX_FRONTENDS = 16, SET_SIZES = 4, MAX_TOLD = 10, TCP_SHARE = 16 };

struct progress {
  volatile uint64_t served, begun;
};

struct frontend {
  struct sockaddr_in address;
  const char* name;
};

struct result {
  uint64_t chosen[SET_SIZES][SET_SIZES], mixed, failed;
};

static const struct progress* progress;
static struct frontend frontends[MAX_FRONTENDS];
static int frontend_count;
static uint64_t end_ms;
static int told;

static uint64_t now_ms(void) {
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000ull + t.tv_nsec / 1000000;
}

static void check(struct result* result, const struct frontend* frontend, uint64_t served,
                  struct in_addr backend, uint64_t begun) {
  const uint32_t address = ntohl(backend.s_addr);
  const uint64_t generation = address >> 8 & 0xffff;
  const uint32_t place = (address & 0xff) - 1 - (frontend - frontends) * SET_SIZES,
                 last = generation % SET_SIZES;

  if (address >> 24 == 10 && generation >= served && generation <= begun && place <= last) {
    result->chosen[last][place]++;
    return;
  }
  result->mixed++;
  if (__sync_fetch_and_add(&told, 1) < MAX_TOLD)
    fprintf(stderr, "%s: %s while %llu to %llu were served\n", frontend->name, inet_ntoa(backend),
            (unsigned long long)served, (unsigned long long)begun);
}

static void ask(struct result* result, const struct frontend* frontend, int type) {
  const int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const uint64_t served = progress->served;
  struct sockaddr_in own;
  socklen_t size = sizeof(own);

  if (fd < 0) error(1, errno, "socket");
  __sync_synchronize();
  if (connect(fd, (const struct sockaddr*)&frontend->address, sizeof(frontend->address)) != 0 &&
      errno != EINPROGRESS) {
    result->failed++;
    if (__sync_fetch_and_add(&told, 1) < MAX_TOLD)
      fprintf(stderr, "%s: connect: %s\n", frontend->name, strerror(errno));
  } else {
    __sync_synchronize();
    const uint64_t begun = progress->begun;

    if (getsockname(fd, (struct sockaddr*)&own, &size) != 0) error(1, errno, "getsockname");
    check(result, frontend, served, own.sin_addr, begun);
  }
  close(fd);
}

static void* run(void* argument) {
  struct result* results = argument;

  for (uint64_t i = 0; now_ms() < end_ms; i++) {
    const int type = i % TCP_SHARE == 0 ? SOCK_STREAM : SOCK_DGRAM;

    for (int f = 0; f < frontend_count; f++) ask(&results[f], &frontends[f], type);
  }
  return NULL;
}

static void parse(struct frontend* frontend, char* text) {
  char* slash = strchr(text, '/');

  if (!slash) error(1, 0, "%s: no port", text);
  *slash = 0;
  frontend->name = text;
  frontend->address.sin_family = AF_INET;
  frontend->address.sin_port = htons(atoi(slash + 1));
  if (inet_pton(AF_INET, text, &frontend->address.sin_addr) != 1)
    error(1, 0, "%s: no address", text);
}

int main(int count, char** arguments) {
  static struct result results[MAX_THREADS][MAX_FRONTENDS];
  pthread_t threads[MAX_THREADS];

  if (count < 5) error(1, 0, "choose FILE MILLISECONDS THREADS ADDRESS/PORT...");
  const int fd = open(arguments[1], O_RDONLY);
  const int thread_count = atoi(arguments[3]);

  frontend_count = count - 4;
  if (thread_count > MAX_THREADS || frontend_count > MAX_FRONTENDS) error(1, 0, "too many");
  for (int f = 0; f < frontend_count; f++) parse(&frontends[f], arguments[4 + f]);
  progress = mmap(NULL, sizeof(*progress), PROT_READ, MAP_SHARED, fd, 0);
  if (fd < 0 || progress == MAP_FAILED) error(1, errno, "%s", arguments[1]);
  end_ms = now_ms() + atoi(arguments[2]);
  for (int t = 0; t < thread_count; t++)
    if (pthread_create(&threads[t], NULL, run, results[t])) error(1, 0, "pthread_create");
  for (int t = 0; t < thread_count; t++) pthread_join(threads[t], NULL);

  uint64_t mixed = 0, failed = 0;

  printf("{\"chosen\":[");
  for (int f = 0; f < frontend_count; f++) {
    printf("%s[", f ? "," : "");
    for (int last = 0; last < SET_SIZES; last++) {
      printf("%s[", last ? "," : "");
      for (int place = 0; place <= last; place++) {
        uint64_t sum = 0;

        for (int t = 0; t < thread_count; t++) sum += results[t][f].chosen[last][place];
        printf("%s%llu", place ? "," : "", (unsigned long long)sum);
      }
      printf("]");
    }
    for (int t = 0; t < thread_count; t++) {
      mixed += results[t][f].mixed;
      failed += results[t][f].failed;
    }
    printf("]");
  }
  printf("],\"mixed\":%llu,\"failed\":%llu}\n", (unsigned long long)mixed,
         (unsigned long long)failed);
  return 0;
}
