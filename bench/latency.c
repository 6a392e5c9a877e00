// SPDX-License-Identifier: Apache-2.0
/*
 * latency [options] PATH...: how long one socket operation takes over several paths.
 *
 *   -m MODE    tcp-connect, udp-connect (both on a new socket each time) or udp-send (unconnected)
 *   -r ROUNDS  rounds to measure; some more warm up
 *   -b COUNT   operations in a row on one path
 *   -c CPU     where everything runs
 *   -s         read the kernel's statistics of the paths' BPF programs. Counting slows every
 * program of the machine down, so latencies are to be measured without.
 *
 * A PATH is a list of client=,cgroup=,to=ADDRESS:PORT,addresses=,server=,listen=,program=:
 * client and server are files of network namespaces; with addresses=N each operation goes to a
 * random one of N addresses from ADDRESS on; program=ID may be repeated.
 *
 * A noisy machine makes absolute times worthless, so a round takes every path once, in random
 * order, and writes one line of JSON per path; figures are to be compared within a round. Servers
 * take the connections between the measured stretches, so that no wake-up falls into one.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PATHS = 16, MAX_PROGRAMS = 4, MAX_BLOCK = 2048, WARM_UP_ROUNDS = 20 };

enum mode { TCP_CONNECT, UDP_CONNECT, UDP_SEND };

struct program {
  uint32_t id;
  int fd;
  uint64_t run_time;
  uint64_t run_count;
};

/* What a client measures, shared with the coordinator. */
struct block {
  uint32_t operation[MAX_BLOCK];
  uint32_t life[MAX_BLOCK]; /* socket(), the operation and close() */
};

/* A child that does one piece of work for every count that is written to it. */
struct worker {
  pid_t pid;
  int orders;
  int answers;
};

struct path {
  const char *client, *cgroup, *server;
  struct sockaddr_in to;
  uint32_t addresses;
  uint16_t listen;
  struct program programs[MAX_PROGRAMS];
  int program_count;
  struct block *block;
  struct worker client_worker, server_worker;
};

static struct path paths[MAX_PATHS];
static int path_count;
static enum mode mode = TCP_CONNECT;
static int rounds = 1000, block_size = 50, cpu = -1;
static bool statistics;

/* Counted from 0, as paths were given. */
static int index_of(const struct path *path) { return (int)(path - paths); }

static void fail(const char *what) { error(1, errno, "%s", what); }

static uint64_t now(void)
{
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* xorshift64: the choice of addresses must cost next to nothing. */
static uint32_t random_below(uint64_t *state, uint32_t limit)
{
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return (uint32_t)((*state >> 32) * limit >> 32);
}

/* ---- children ---------------------------------------------------------------------------------
 */

static void enter_namespace(const char *file)
{
  int fd = open(file, O_RDONLY | O_CLOEXEC);

  if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
    fail(file);
  close(fd);
}

static void enter_cgroup(const char *directory)
{
  char file[4096];
  int fd;

  snprintf(file, sizeof(file), "%s/cgroup.procs", directory);
  fd = open(file, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, "0", 1) != 1)
    fail(file);
  close(fd);
}

static void settle_on_cpu(void)
{
  cpu_set_t set;

  if (cpu < 0)
    return;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof(set), &set) != 0)
    fail("sched_setaffinity");
}

/* The socket must believe that it talks to whom it asked for, or another thing is measured. */
static void check_peer(const struct path *path, int type)
{
  struct sockaddr_in peer;
  socklen_t length = sizeof(peer);
  int fd = socket(AF_INET, type, 0);

  if (connect(fd, (const struct sockaddr *)&path->to, sizeof(path->to)) != 0)
    error(1, errno, "path %d", index_of(path));
  if (getpeername(fd, (struct sockaddr *)&peer, &length) != 0)
    fail("getpeername");
  if (peer.sin_addr.s_addr != path->to.sin_addr.s_addr || peer.sin_port != path->to.sin_port)
    error(1, 0, "path %d: the peer is %s:%d", index_of(path), inet_ntoa(peer.sin_addr),
          ntohs(peer.sin_port));
  close(fd);
}

static uint32_t time_connects(struct path *path, int type, uint32_t count, uint64_t *seed)
{
  const struct linger reset = {.l_onoff = 1};
  const uint32_t base = ntohl(path->to.sin_addr.s_addr);
  struct sockaddr_in to = path->to;
  uint32_t failures = 0;

  for (uint32_t i = 0; i < count; i++) {
    if (path->addresses > 1)
      to.sin_addr.s_addr = htonl(base + random_below(seed, path->addresses));
    uint64_t begin = now();
    int fd = socket(AF_INET, type, 0);
    uint64_t made = now();
    /* A reset leaves nothing behind that would make the next connect() slower. */
    if (type == SOCK_STREAM)
      setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    uint64_t ready = now();
    int rc = connect(fd, (const struct sockaddr *)&to, sizeof(to));
    uint64_t connected = now();
    close(fd);
    uint64_t end = now();

    if (rc != 0)
      failures++;
    path->block->operation[i] = connected - ready;
    path->block->life[i] = (made - begin) + (end - ready);
  }
  return failures;
}

static uint32_t time_sends(struct path *path, int fd, uint32_t count, uint64_t *seed)
{
  static const char payload[64];
  const uint32_t base = ntohl(path->to.sin_addr.s_addr);
  struct sockaddr_in to = path->to;
  uint32_t failures = 0;

  for (uint32_t i = 0; i < count; i++) {
    if (path->addresses > 1)
      to.sin_addr.s_addr = htonl(base + random_below(seed, path->addresses));
    uint64_t begin = now();
    ssize_t sent =
        sendto(fd, payload, sizeof(payload), 0, (const struct sockaddr *)&to, sizeof(to));
    uint64_t end = now();

    if (sent != sizeof(payload))
      failures++;
    path->block->operation[i] = path->block->life[i] = end - begin;
  }
  return failures;
}

static void answer(int answers, uint32_t value)
{
  if (write(answers, &value, sizeof(value)) != sizeof(value))
    exit(1);
}

static void run_client(struct path *path, int orders, int answers)
{
  const int type = mode == TCP_CONNECT ? SOCK_STREAM : SOCK_DGRAM;
  uint64_t seed = 88172645463325252ull;
  uint32_t count;
  int fd = -1;

  enter_namespace(path->client);
  enter_cgroup(path->cgroup);
  if (mode == UDP_SEND) {
    fd = socket(AF_INET, SOCK_DGRAM, 0);
  } else {
    check_peer(path, type);
  }
  answer(answers, 0);
  while (read(orders, &count, sizeof(count)) == sizeof(count)) {
    answer(answers,
           fd < 0 ? time_connects(path, type, count, &seed) : time_sends(path, fd, count, &seed));
  }
}

static void run_server(struct path *path, int orders, int answers)
{
  const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(path->listen)};
  const bool stream = mode == TCP_CONNECT;
  const int room = 8 << 20;
  uint32_t count;
  char datagram[64];

  enter_namespace(path->server);
  int fd = socket(AF_INET, (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK, 0);
  if (bind(fd, (const struct sockaddr *)&any, sizeof(any)) != 0)
    fail("bind");
  if (stream) {
    if (listen(fd, 2 * MAX_BLOCK) != 0)
      fail("listen");
  } else if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) != 0) {
    fail("SO_RCVBUFFORCE");
  }
  answer(answers, 0);
  while (read(orders, &count, sizeof(count)) == sizeof(count)) {
    uint32_t received = 0;

    if (stream) {
      for (int peer; (peer = accept(fd, NULL, NULL)) >= 0; received++)
        close(peer);
    } else {
      while (recv(fd, datagram, sizeof(datagram), 0) >= 0)
        received++;
    }
    answer(answers, received);
  }
}

static uint32_t receive(const struct path *path, const struct worker *worker)
{
  uint32_t value;

  if (read(worker->answers, &value, sizeof(value)) != sizeof(value))
    error(1, 0, "path %d: a child has gone", index_of(path));
  return value;
}

static uint32_t order(const struct path *path, const struct worker *worker, uint32_t count)
{
  if (write(worker->orders, &count, sizeof(count)) != sizeof(count))
    fail("write");
  return receive(path, worker);
}

static void start(struct path *path, struct worker *worker,
                  void (*run)(struct path *path, int orders, int answers))
{
  int orders[2], answers[2];

  if (pipe(orders) != 0 || pipe(answers) != 0)
    fail("pipe");
  worker->pid = fork();
  if (worker->pid < 0)
    fail("fork");
  if (worker->pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(orders[1]);
    close(answers[0]);
    run(path, orders[0], answers[1]);
    exit(0);
  }
  close(orders[0]);
  close(answers[1]);
  worker->orders = orders[1];
  worker->answers = answers[0];
  receive(path, worker); /* it is ready */
}

/* Paths to the same server share it. */
static void start_server(struct path *path)
{
  for (const struct path *other = paths; other < path; other++) {
    if (other->listen != path->listen || strcmp(other->server, path->server) != 0)
      continue;
    path->server_worker = other->server_worker;
    return;
  }
  start(path, &path->server_worker, run_server);
}

static void stop(const struct worker *worker)
{
  kill(worker->pid, SIGKILL);
  waitpid(worker->pid, NULL, 0);
}

/* ---- the kernel's statistics ------------------------------------------------------------------
 */

static int bpf(enum bpf_cmd command, union bpf_attr *attr)
{
  return (int)syscall(SYS_bpf, command, attr, sizeof(*attr));
}

/* In effect as long as the descriptor is open. */
static void enable_statistics(void)
{
  union bpf_attr attr = {.enable_stats.type = BPF_STATS_RUN_TIME};

  if (bpf(BPF_ENABLE_STATS, &attr) < 0)
    fail("BPF_ENABLE_STATS");
}

static void open_program(struct program *program)
{
  union bpf_attr attr = {.prog_id = program->id};

  program->fd = bpf(BPF_PROG_GET_FD_BY_ID, &attr);
  if (program->fd < 0)
    fail("BPF_PROG_GET_FD_BY_ID");
}

static void read_program(struct program *program)
{
  struct bpf_prog_info info = {};
  union bpf_attr attr = {
      .info = {.bpf_fd = program->fd, .info_len = sizeof(info), .info = (uintptr_t)&info}};

  if (bpf(BPF_OBJ_GET_INFO_BY_FD, &attr) < 0)
    fail("BPF_OBJ_GET_INFO_BY_FD");
  program->run_time = info.run_time_ns;
  program->run_count = info.run_cnt;
}

/* ---- coordinator ------------------------------------------------------------------------------
 */

static int compare(const void *a, const void *b)
{
  const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

  return (x > y) - (x < y);
}

static double median(uint32_t *values, int count)
{
  qsort(values, count, sizeof(*values), compare);
  return (values[(count - 1) / 2] + values[count / 2]) / 2.0;
}

static void measure(struct path *path, int round)
{
  struct program before[MAX_PROGRAMS];
  uint32_t failures;

  for (int i = 0; statistics && i < path->program_count; i++)
    read_program(&path->programs[i]);
  memcpy(before, path->programs, sizeof(before));
  failures = order(path, &path->client_worker, block_size);
  for (int i = 0; statistics && i < path->program_count; i++)
    read_program(&path->programs[i]);
  order(path, &path->server_worker, block_size);
  if (round < 0)
    return;

  printf("{\"round\":%d,\"path\":%d,\"operation\":%.1f,\"life\":%.1f,\"failures\":%u,\"programs\":"
         "{",
         round, index_of(path), median(path->block->operation, block_size),
         median(path->block->life, block_size), failures);
  for (int i = 0; i < path->program_count; i++) {
    const struct program *program = &path->programs[i];

    printf("%s\"%u\":{\"time\":%llu,\"runs\":%llu}", i ? "," : "", program->id,
           (unsigned long long)(program->run_time - before[i].run_time),
           (unsigned long long)(program->run_count - before[i].run_count));
  }
  puts("}}");
}

static void measure_round(int round)
{
  int turn[MAX_PATHS] = {};

  for (int i = 0; i < path_count; i++) {
    int j = rand() % (i + 1);

    turn[i] = turn[j];
    turn[j] = i;
  }
  for (int i = 0; i < path_count; i++)
    measure(&paths[turn[i]], round);
}

/* ---- arguments --------------------------------------------------------------------------------
 */

static int number(const char *text)
{
  char *end;
  long value = strtol(text, &end, 10);

  if (end == text || *end != '\0' || value < 0 || value > INT32_MAX)
    error(2, 0, "%s is not a number", text);
  return (int)value;
}

static enum mode parse_mode(const char *text)
{
  if (strcmp(text, "tcp-connect") == 0)
    return TCP_CONNECT;
  if (strcmp(text, "udp-connect") == 0)
    return UDP_CONNECT;
  if (strcmp(text, "udp-send") == 0)
    return UDP_SEND;
  error(2, 0, "%s is not a mode", text);
  return TCP_CONNECT;
}

static void parse_destination(struct path *path, char *text)
{
  char *colon = strchr(text, ':');

  if (colon == NULL)
    error(2, 0, "%s is not ADDRESS:PORT", text);
  *colon = '\0';
  path->to.sin_family = AF_INET;
  path->to.sin_port = htons(number(colon + 1));
  if (inet_pton(AF_INET, text, &path->to.sin_addr) != 1)
    error(2, 0, "%s is not an address", text);
}

static void parse_path(char *text)
{
  enum { CLIENT, CGROUP, TO, ADDRESSES, SERVER, LISTEN, PROGRAM };
  static char *const keys[] = {
      [CLIENT] = "client", [CGROUP] = "cgroup", [TO] = "to",           [ADDRESSES] = "addresses",
      [SERVER] = "server", [LISTEN] = "listen", [PROGRAM] = "program", NULL};
  struct path *path = &paths[path_count++];
  char *value;

  if (path_count > MAX_PATHS)
    error(2, 0, "more than %d paths", MAX_PATHS);
  while (*text != '\0') {
    int key = getsubopt(&text, keys, &value);

    if (key < 0 || value == NULL)
      error(2, 0, "cannot read %s", value ? value : keys[key]);
    if (key == CLIENT)
      path->client = value;
    if (key == CGROUP)
      path->cgroup = value;
    if (key == TO)
      parse_destination(path, value);
    if (key == ADDRESSES)
      path->addresses = number(value);
    if (key == SERVER)
      path->server = value;
    if (key == LISTEN)
      path->listen = number(value);
    if (key == PROGRAM) {
      if (path->program_count == MAX_PROGRAMS)
        error(2, 0, "more than %d programs", MAX_PROGRAMS);
      path->programs[path->program_count++].id = number(value);
    }
  }
  if (!path->client || !path->cgroup || !path->server || !path->listen || !path->to.sin_port)
    error(2, 0, "a path needs client, cgroup, to, server and listen");
}

static void parse_arguments(int argc, char **argv)
{
  for (int option; (option = getopt(argc, argv, "m:r:b:c:s")) != -1;) {
    if (option == 'm')
      mode = parse_mode(optarg);
    if (option == 'r')
      rounds = number(optarg);
    if (option == 'b')
      block_size = number(optarg);
    if (option == 'c')
      cpu = number(optarg);
    if (option == 's')
      statistics = true;
    if (option == '?')
      exit(2);
  }
  if (block_size < 1 || block_size > MAX_BLOCK)
    error(2, 0, "-b takes 1 to %d", MAX_BLOCK);
  for (int i = optind; i < argc; i++)
    parse_path(argv[i]);
  if (path_count == 0)
    error(2, 0, "no path");
}

int main(int argc, char **argv)
{
  parse_arguments(argc, argv);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  settle_on_cpu();
  setpriority(PRIO_PROCESS, 0, -20);
  if (statistics)
    enable_statistics();
  for (int i = 0; i < path_count; i++) {
    struct path *path = &paths[i];

    for (int k = 0; k < path->program_count; k++)
      open_program(&path->programs[k]);
    path->block = mmap(NULL, sizeof(*path->block), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (path->block == MAP_FAILED)
      fail("mmap");
    start_server(path);
    start(path, &path->client_worker, run_client);
  }
  for (int round = -WARM_UP_ROUNDS; round < rounds; round++)
    measure_round(round);
  for (int i = 0; i < path_count; i++) {
    stop(&paths[i].client_worker);
    stop(&paths[i].server_worker);
  }
  return 0;
}
