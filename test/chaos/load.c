// SPDX-License-Identifier: Apache-2.0
/*
 * load PART...: traffic through services, all of which is checked. Parts are
 *
 *   serve=NETNS,ID,PORT,COUNT
 *       echoes TCP and UDP on COUNT ports from PORT on; what it sends first, and with every
 * datagram, is its number client=NETNS,CGROUP,WEB,STEADY,PERIOD,FLOWS WEB and STEADY are
 * ADDRESS/PORT. Every PERIOD ms a TCP connection to WEB, every fifth time also a datagram to STEADY
 * from a new socket. FLOWS TCP flows to WEB and as many UDP flows to STEADY go on all the time.
 *   flood=NETNS,TO,PERIOD,COUNT
 *       every PERIOD ms COUNT packets, SYNs and datagrams in turn, from invented addresses
 *
 * NETNS is a file; CGROUP a directory, or - for none. Each part is a process. Commands come on
 * stdin, each is answered by a line of JSON: `report`, `open ID INDEX` and `close ID INDEX` (a
 * server's TCP port: connections go on), and `stop`: what is under way comes to its end first.
 * Failures are told on stderr, the first ones of each client.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PARTS = 16, MAX_PORTS = 16, MAX_TALKS = 8192, EVENTS = 128, MAX_TOLD = 10 };
enum { TICK = 5, FLOW_PERIOD = 40, PATIENCE = 5000, SLOW = 900 }; /* ms */
enum { CHUNK = 256, WINDOW = 4096, QUESTIONS = PATIENCE / FLOW_PERIOD };

enum failure { REFUSED, TIMEOUT, RESET, WRONG, OTHER, FAILURES };
static const char* const failure_names[FAILURES] = {"refused", "timeout", "reset", "wrong",
                                                    "other"};

/* What everybody sees of a part. */
struct shared {
  uint64_t attempted, failed, by[FAILURES], slow;
  uint64_t flows, lost, bytes, questions, unanswered, flood;
  uint64_t longest; /* ms from the beginning of an attempt to its end */
  volatile bool wanted[MAX_PORTS], open[MAX_PORTS];
  volatile bool stop, ready;
};

static struct shared* shared; /* one for each part */
static struct shared* mine;
static int parts;
static const char* label;

static void fail(const char* what) { error(1, errno, "%s", what); }

static uint64_t now_ms(void) {
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000ull + t.tv_nsec / 1000000;
}

static uint32_t random_word(void) {
  static uint64_t state = 0;

  if (state == 0) state = now_ms() * 0x9e3779b97f4a7c15ull ^ (uint64_t)getpid() << 32;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state >> 32;
}

static void enter(const char* namespace, const char* cgroup) {
  int fd = open(namespace, O_RDONLY | O_CLOEXEC);

  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) fail(namespace);
  close(fd);
  if (strcmp(cgroup, "-") != 0) {
    char path[512];
    FILE* file;

    snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
    file = fopen(path, "w");
    if (!file || fprintf(file, "0") < 0 || fclose(file) != 0) fail(path);
  }
}

static socklen_t parse(char* text, struct sockaddr_storage* to) {
  struct sockaddr_in* v4 = (struct sockaddr_in*)to;
  struct sockaddr_in6* v6 = (struct sockaddr_in6*)to;
  char* slash = strchr(text, '/');

  memset(to, 0, sizeof(*to));
  if (!slash) error(1, 0, "%s: no port", text);
  *slash = 0;
  if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(atoi(slash + 1));
    *slash = '/';
    return sizeof(*v4);
  }
  if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1) error(1, 0, "%s: no address", text);
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(atoi(slash + 1));
  *slash = '/';
  return sizeof(*v6);
}

static void watch(int poll, int command, int fd, uint32_t events, void* what) {
  struct epoll_event event = {.events = events, .data.ptr = what};

  if (epoll_ctl(poll, command, fd, &event) != 0) fail("epoll_ctl");
}

/* ---- servers ----------------------------------------------------------------------------------
 */

/* A socket of a server: what it says first depends on the port. */
struct served {
  enum { LISTENER, STREAM, DATAGRAMS } kind;
  int fd;
  uint32_t id;
  bool greeted;
};

static struct served* serve_on(int poll, int kind, int fd, uint32_t id) {
  struct served* one = calloc(1, sizeof(*one));

  if (!one) fail("calloc");
  *one = (struct served){.kind = kind, .fd = fd, .id = id};
  watch(poll, EPOLL_CTL_ADD, fd, EPOLLIN, one);
  return one;
}

static int bound_socket(int type, int port) {
  const struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  int fd = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, room = 8 << 20;

  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  /* A flood comes to the same socket, and must not take the room of others while a server has no
   * CPU. */
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
  if (fd < 0 || bind(fd, (const struct sockaddr*)&any, sizeof(any)) != 0) fail("bind");
  return fd;
}

static void accept_all(int poll, const struct served* listener) {
  for (int fd, on = 1; (fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    serve_on(poll, STREAM, fd, listener->id);
  }
}

/* Clients keep so little under way that it fits into the socket's buffer. */
static void echo_stream(struct served* one) {
  char buffer[4 + 16384];
  ssize_t length = read(one->fd, buffer + 4, sizeof(buffer) - 4);
  const size_t extra = one->greeted ? 0 : 4;

  if (length < 0 && errno == EAGAIN) return;
  memcpy(buffer, &one->id, 4);
  if (length > 0 && send(one->fd, buffer + 4 - extra, length + extra, MSG_NOSIGNAL) ==
                        (ssize_t)(length + extra)) {
    one->greeted = true;
    return;
  }
  close(one->fd);
  free(one);
}

static void echo_datagrams(const struct served* one) {
  struct sockaddr_in6 from;
  char buffer[4 + 2048];

  memcpy(buffer, &one->id, 4);
  for (;;) {
    socklen_t size = sizeof(from);
    ssize_t length =
        recvfrom(one->fd, buffer + 4, sizeof(buffer) - 4, 0, (struct sockaddr*)&from, &size);

    if (length < 0) return; /* EAGAIN, or an error of an earlier answer, which is gone now */
    sendto(one->fd, buffer, length + 4, 0, (struct sockaddr*)&from, size);
  }
}

static void run_server(const char* namespace, int id, int port, int count) {
  struct served* listeners[MAX_PORTS] = {0};
  struct epoll_event events[EVENTS];
  int poll = epoll_create1(EPOLL_CLOEXEC);

  enter(namespace, "-");
  for (int i = 0; i < count; i++) {
    serve_on(poll, DATAGRAMS, bound_socket(SOCK_DGRAM, port + i), id * 100 + i);
    mine->wanted[i] = true;
  }
  for (;;) {
    for (int i = 0; i < count; i++) {
      if (mine->wanted[i] == mine->open[i]) continue;
      if (mine->open[i]) {
        accept_all(poll, listeners[i]);
        close(listeners[i]->fd);
        free(listeners[i]);
      } else {
        int fd = bound_socket(SOCK_STREAM, port + i);

        if (listen(fd, 4096) != 0) fail("listen");
        listeners[i] = serve_on(poll, LISTENER, fd, id * 100 + i);
      }
      mine->open[i] = mine->wanted[i];
    }
    mine->ready = true;
    int ready = epoll_wait(poll, events, EVENTS, TICK);

    for (int i = 0; i < ready; i++) {
      struct served* one = events[i].data.ptr;

      if (one->kind == LISTENER)
        accept_all(poll, one);
      else if (one->kind == STREAM)
        echo_stream(one);
      else
        echo_datagrams(one);
    }
  }
}

/* ---- clients ----------------------------------------------------------------------------------
 */

enum kind { CONNECTION, QUESTION, TCP_FLOW, UDP_FLOW };

/* A socket of a client, and what it waits for. */
struct talk {
  enum kind kind;
  int fd; /* 0: unused */
  bool connected, known;
  uint32_t server; /* who answered first */
  uint64_t begun, heard, next;
  uint64_t nonce;
  /* Bytes of a TCP flow, or questions of a UDP flow. */
  uint64_t sent, received, missed;
  uint64_t answered[(QUESTIONS + 63) / 64];
  uint8_t head[12];
  size_t head_length;
};

static struct talk talks[MAX_TALKS];
static struct sockaddr_storage web, steady;
static socklen_t address_size;
static int client_poll;
static const char* const kind_names[] = {"connection", "question", "TCP flow", "UDP flow"};

static uint8_t byte_at(const struct talk* talk, uint64_t offset) {
  return (offset * 0x9e3779b97f4a7c15ull + talk->nonce) >> 32;
}

static bool is_flow(const struct talk* talk) { return talk->kind >= TCP_FLOW; }

static void hang_up(struct talk* talk) {
  close(talk->fd);
  talk->fd = 0;
}

static void failed(struct talk* talk, enum failure why, const char* detail) {
  static int told = 0;
  struct timespec t;

  if (told++ < MAX_TOLD) {
    clock_gettime(CLOCK_REALTIME, &t);
    dprintf(2, "%lld.%03ld %s: %s: %s, %s after %llu ms\n", (long long)t.tv_sec,
            t.tv_nsec / 1000000, label, kind_names[talk->kind], failure_names[why], detail,
            (unsigned long long)(now_ms() - talk->begun));
  }
  if (is_flow(talk)) {
    mine->lost++;
  } else {
    mine->failed++;
    mine->by[why]++;
  }
  hang_up(talk);
}

static void failed_with(struct talk* talk, int number) {
  failed(talk,
         number == ECONNREFUSED   ? REFUSED
         : number == ECONNRESET   ? RESET
         : number == ETIMEDOUT    ? TIMEOUT
         : number == ECONNABORTED ? RESET
                                  : OTHER,
         strerror(number));
}

static void succeeded(struct talk* talk) {
  const uint64_t took = now_ms() - talk->begun;

  if (took > mine->longest) mine->longest = took;
  if (took > SLOW) mine->slow++;
  hang_up(talk);
}

static void begin(enum kind kind) {
  const bool stream = kind == CONNECTION || kind == TCP_FLOW;
  const struct sockaddr_storage* to = stream ? &web : &steady;
  struct talk* talk = NULL;
  int on = 1;

  for (int i = 0; i < MAX_TALKS && !talk; i++)
    if (talks[i].fd == 0) talk = &talks[i];
  if (!talk) error(1, 0, "too many connections at a time");
  memset(talk, 0, sizeof(*talk));
  talk->kind = kind;
  talk->begun = talk->heard = now_ms();
  talk->next = talk->begun + random_word() % FLOW_PERIOD;
  talk->nonce = (uint64_t)random_word() << 32 | random_word();
  memset(talk->answered, 0xff, sizeof(talk->answered));
  if (is_flow(talk))
    mine->flows++;
  else
    mine->attempted++;
  talk->fd =
      socket(to->ss_family, (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (talk->fd < 0) fail("socket");
  if (stream) setsockopt(talk->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (connect(talk->fd, (const struct sockaddr*)to, address_size) != 0 && errno != EINPROGRESS)
    return failed_with(talk, errno);
  watch(client_poll, EPOLL_CTL_ADD, talk->fd, EPOLLIN | (stream ? EPOLLOUT : 0), talk);
  talk->connected = !stream;
  if (kind == QUESTION && send(talk->fd, &talk->nonce, 8, 0) != 8) failed_with(talk, errno);
}

/* The first bytes say who the server is, the next ones are the nonce. */
static void hear_connection(struct talk* talk) {
  ssize_t length =
      read(talk->fd, talk->head + talk->head_length, sizeof(talk->head) - talk->head_length);

  if (length < 0 && errno == EAGAIN) return;
  if (length < 0) return failed_with(talk, errno);
  if (length == 0) return failed(talk, RESET, "closed early");
  talk->head_length += length;
  if (talk->head_length < sizeof(talk->head)) return;
  if (memcmp(talk->head + 4, &talk->nonce, 8) != 0) return failed(talk, WRONG, "not what was sent");
  succeeded(talk);
}

static void hear_stream(struct talk* talk) {
  uint8_t buffer[8192];
  ssize_t length = read(talk->fd, buffer, sizeof(buffer)), at = 0;

  if (length < 0 && errno == EAGAIN) return;
  if (length < 0) return failed_with(talk, errno);
  if (length == 0) return failed(talk, RESET, "closed");
  talk->heard = now_ms();
  for (; at < length && talk->head_length < 4; at++) talk->head[talk->head_length++] = buffer[at];
  for (; at < length; at++, talk->received++, mine->bytes++)
    if (buffer[at] != byte_at(talk, talk->received) || talk->received >= talk->sent)
      return failed(talk, WRONG, "not what was sent");
}

static uint64_t* answer_word(struct talk* talk, uint64_t question) {
  return &talk->answered[question % QUESTIONS / 64];
}

static uint64_t answer_bit(uint64_t question) { return 1ull << (question % QUESTIONS % 64); }

static void hear_datagram(struct talk* talk) {
  struct {
    uint32_t server;
    uint64_t nonce, question;
  } __attribute__((packed)) answer;
  ssize_t length = recv(talk->fd, &answer, sizeof(answer), 0);
  const ssize_t expected = talk->kind == QUESTION ? 12 : 20;
  char detail[64];

  if (length < 0 && errno == EAGAIN) return;
  if (length < 0) return failed_with(talk, errno);
  if (length != expected || answer.nonce != talk->nonce)
    return failed(talk, WRONG, "not what was sent");
  if (talk->kind == QUESTION) return succeeded(talk);
  if (talk->known && answer.server != talk->server) {
    snprintf(detail, sizeof(detail), "moved from %u to %u", talk->server, answer.server);
    return failed(talk, WRONG, detail);
  }
  talk->known = true;
  talk->server = answer.server;
  talk->heard = now_ms();
  if (answer.question < talk->sent && talk->sent - answer.question <= QUESTIONS &&
      !(*answer_word(talk, answer.question) & answer_bit(answer.question))) {
    *answer_word(talk, answer.question) |= answer_bit(answer.question);
    talk->received++;
  }
}

static void speak_stream(struct talk* talk) {
  uint8_t buffer[CHUNK];
  ssize_t length;

  if (talk->sent - talk->received > WINDOW) return;
  for (int i = 0; i < CHUNK; i++) buffer[i] = byte_at(talk, talk->sent + i);
  length = send(talk->fd, buffer, CHUNK, MSG_NOSIGNAL);
  if (length < 0 && errno != EAGAIN) return failed_with(talk, errno);
  if (length > 0) talk->sent += length;
}

/* A question whose place is needed again had its time. */
static void speak_datagram(struct talk* talk) {
  const uint64_t question[2] = {talk->nonce, talk->sent};

  if (!(*answer_word(talk, talk->sent) & answer_bit(talk->sent))) mine->unanswered++;
  *answer_word(talk, talk->sent) &= ~answer_bit(talk->sent);
  talk->sent++;
  mine->questions++;
  if (send(talk->fd, question, sizeof(question), 0) < 0 && errno != EAGAIN)
    failed_with(talk, errno);
}

static bool is_settled(const struct talk* talk) {
  return is_flow(talk) && talk->connected && talk->sent == talk->received + talk->missed;
}

static void speak(struct talk* talk, uint64_t now) {
  if (talk->heard + PATIENCE < now && !is_settled(talk)) return failed(talk, TIMEOUT, "silence");
  if (!is_flow(talk) || !talk->connected || now < talk->next || mine->stop) return;
  talk->next += FLOW_PERIOD;
  if (now > talk->next + PATIENCE) /* the machine was busy elsewhere */
    talk->next = now;
  if (talk->kind == TCP_FLOW)
    speak_stream(talk);
  else
    speak_datagram(talk);
}

static void on_event(struct talk* talk, uint32_t events) {
  int number = 0;
  socklen_t size = sizeof(number);

  if (!talk->connected) {
    getsockopt(talk->fd, SOL_SOCKET, SO_ERROR, &number, &size);
    if (number != 0) return failed_with(talk, number);
    if (!(events & EPOLLOUT)) return;
    talk->connected = true;
    talk->heard = now_ms();
    watch(client_poll, EPOLL_CTL_MOD, talk->fd, EPOLLIN, talk);
    if (talk->kind == CONNECTION && send(talk->fd, &talk->nonce, 8, MSG_NOSIGNAL) != 8)
      failed_with(talk, errno);
    return;
  }
  if (talk->kind == CONNECTION)
    hear_connection(talk);
  else if (talk->kind == TCP_FLOW)
    hear_stream(talk);
  else
    hear_datagram(talk);
}

/* Until everything has come to its end, or had its time. */
static bool is_over(void) {
  for (int i = 0; i < MAX_TALKS; i++)
    if (talks[i].fd != 0 && !is_settled(&talks[i])) return false;
  return true;
}

static void run_client(const char* namespace, const char* cgroup, int period, int flows) {
  struct epoll_event events[EVENTS];
  uint64_t next, end = 0, rounds = 0;

  enter(namespace, cgroup);
  client_poll = epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; i < flows; i++) {
    begin(TCP_FLOW);
    begin(UDP_FLOW);
  }
  next = now_ms() + random_word() % period;
  for (;;) {
    uint64_t now = now_ms();

    for (; !mine->stop && next <= now; next += period) {
      begin(CONNECTION);
      if (++rounds % 5 == 0) begin(QUESTION);
    }
    for (int i = 0; i < MAX_TALKS; i++)
      if (talks[i].fd != 0) speak(&talks[i], now);
    if (mine->stop && end == 0) end = now + PATIENCE;
    if (mine->stop && (is_over() || now > end)) break;
    int ready = epoll_wait(client_poll, events, EVENTS, TICK);

    for (int i = 0; i < ready; i++) {
      struct talk* talk = events[i].data.ptr;

      if (talk->fd != 0) on_event(talk, events[i].events);
    }
    mine->ready = true;
  }
  for (int i = 0; i < MAX_TALKS; i++) {
    if (talks[i].fd == 0 || is_settled(&talks[i])) continue;
    if (talks[i].kind == UDP_FLOW)
      mine->unanswered += talks[i].sent - talks[i].received - talks[i].missed;
    else
      failed(&talks[i], TIMEOUT, "not over");
  }
}

/* ---- floods -----------------------------------------------------------------------------------
 */

static uint32_t sum_words(const void* bytes, size_t length) {
  const uint8_t* at = bytes;
  uint32_t sum = 0;

  for (size_t i = 0; i + 1 < length; i += 2) sum += at[i] << 8 | at[i + 1];
  return sum;
}

static uint16_t folded(uint32_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return htons(~sum & 0xffff);
}

/* The payload of the network layer; returns its length. */
static size_t invent_segment(uint8_t* out, bool syn, uint16_t port, uint32_t pseudo) {
  const uint16_t from = htons(1024 + random_word() % 60000);

  if (syn) {
    struct tcphdr header = {.source = from, .dest = port, .seq = random_word(), .doff = 5};

    header.syn = 1;
    header.window = htons(65535);
    header.check =
        folded(pseudo + IPPROTO_TCP + sizeof(header) + sum_words(&header, sizeof(header)));
    memcpy(out, &header, sizeof(header));
    return sizeof(header);
  }
  struct udphdr header = {.source = from, .dest = port, .len = htons(sizeof(header))};

  header.check = folded(pseudo + IPPROTO_UDP + sizeof(header) + sum_words(&header, sizeof(header)));
  memcpy(out, &header, sizeof(header));
  return sizeof(header);
}

static size_t invent4(uint8_t* out, const struct sockaddr_in* to, bool syn) {
  struct iphdr ip = {.version = 4, .ihl = 5, .ttl = 64, .daddr = to->sin_addr.s_addr};
  size_t length;

  ip.protocol = syn ? IPPROTO_TCP : IPPROTO_UDP;
  ip.saddr = htonl(198u << 24 | 18u << 16 | random_word() % (1 << 17));
  length = sizeof(ip) + invent_segment(out + sizeof(ip), syn, to->sin_port,
                                       sum_words(&ip.saddr, 4) + sum_words(&ip.daddr, 4));
  ip.tot_len = htons(length);
  memcpy(out, &ip, sizeof(ip));
  return length;
}

static size_t invent6(uint8_t* out, const struct sockaddr_in6* to, bool syn) {
  struct ip6_hdr ip = {.ip6_flow = htonl(6u << 28), .ip6_hlim = 64, .ip6_dst = to->sin6_addr};
  const uint32_t source[4] = {htonl(0x20010db8), htonl(0xf1000000), random_word(), random_word()};
  size_t length;

  memcpy(&ip.ip6_src, source, sizeof(source));
  ip.ip6_nxt = syn ? IPPROTO_TCP : IPPROTO_UDP;
  length = invent_segment(out + sizeof(ip), syn, to->sin6_port,
                          sum_words(&ip.ip6_src, 16) + sum_words(&ip.ip6_dst, 16));
  ip.ip6_plen = htons(length);
  memcpy(out, &ip, sizeof(ip));
  return sizeof(ip) + length;
}

static void run_flood(const char* namespace, int period, int count) {
  struct sockaddr_storage to = web;
  uint8_t packet[128];
  int fd;

  enter(namespace, "-");
  fd = socket(web.ss_family, SOCK_RAW, IPPROTO_RAW);
  if (fd < 0) fail("raw socket");
  /* For raw sockets of IPv6 it is no port, but a protocol. */
  if (to.ss_family == AF_INET6) ((struct sockaddr_in6*)&to)->sin6_port = 0;
  mine->ready = true;
  for (uint64_t next = now_ms(); !mine->stop; next += period) {
    for (int i = 0; i < count; i++) {
      size_t length = web.ss_family == AF_INET ? invent4(packet, (struct sockaddr_in*)&web, i % 2)
                                               : invent6(packet, (struct sockaddr_in6*)&web, i % 2);

      if (sendto(fd, packet, length, 0, (struct sockaddr*)&to, address_size) > 0) mine->flood++;
    }
    if (next > now_ms()) usleep((next - now_ms()) * 1000);
  }
}

/* ---- the whole --------------------------------------------------------------------------------
 */

static void run_part(char* text) {
  char *value = strchr(text, '='), *fields[8] = {0};
  int count = 0;

  if (!value) error(1, 0, "%s: no part", text);
  *value++ = 0;
  for (char* field; count < 8 && (field = strsep(&value, ","));) fields[count++] = field;
  if (strcmp(text, "serve") == 0 && count == 4) {
    run_server(fields[0], atoi(fields[1]), atoi(fields[2]), atoi(fields[3]));
  } else if (strcmp(text, "client") == 0 && count == 6) {
    label = fields[2];
    parse(fields[3], &steady);
    address_size = parse(fields[2], &web);
    run_client(fields[0], fields[1], atoi(fields[4]), atoi(fields[5]));
  } else if (strcmp(text, "flood") == 0 && count == 4) {
    address_size = parse(fields[1], &web);
    run_flood(fields[0], atoi(fields[2]), atoi(fields[3]));
  } else {
    error(1, 0, "%s: no part, or not all of it", text);
  }
}

static void report(void) {
  struct shared sum = {0};

  for (int i = 0; i < parts; i++) {
    const struct shared* one = &shared[i];

    sum.attempted += one->attempted;
    sum.failed += one->failed;
    sum.slow += one->slow;
    sum.flows += one->flows;
    sum.lost += one->lost;
    sum.bytes += one->bytes;
    sum.questions += one->questions;
    sum.unanswered += one->unanswered;
    sum.flood += one->flood;
    if (one->longest > sum.longest) sum.longest = one->longest;
    for (int why = 0; why < FAILURES; why++) sum.by[why] += one->by[why];
  }
#define N(field) (unsigned long long)sum.field
  printf(
      "{\"attempted\":%llu,\"failed\":%llu,\"slow\":%llu,\"longest\":%llu,\"flows\":%llu,"
      "\"lost\":%llu,\"bytes\":%llu,\"questions\":%llu,\"unanswered\":%llu,\"flood\":%llu,"
      "\"failures\":{",
      N(attempted), N(failed), N(slow), N(longest), N(flows), N(lost), N(bytes), N(questions),
      N(unanswered), N(flood));
  for (int why = 0; why < FAILURES; why++)
    printf("%s\"%s\":%llu", why ? "," : "", failure_names[why], N(by[why]));
  puts("}}");
}

int main(int argc, char** argv) {
  char line[64], verb[8];
  pid_t children[MAX_PARTS];
  int part, index;

  parts = argc - 1;
  if (parts < 1 || parts > MAX_PARTS) error(1, 0, "usage: load PART...");
  shared = mmap(NULL, parts * sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                -1, 0);
  if (shared == MAP_FAILED) fail("mmap");
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int i = 0; i < parts; i++) {
    mine = &shared[i];
    children[i] = fork();
    if (children[i] < 0) fail("fork");
    if (children[i] == 0) {
      run_part(argv[i + 1]);
      _exit(0);
    }
    /* Servers come first on the command line, and are there when clients begin. */
    for (int ms = 0; !mine->ready && ms < PATIENCE; ms++) usleep(1000);
    if (!mine->ready) error(1, 0, "%s does not begin", argv[i + 1]);
  }
  puts("{\"ready\":true}");
  while (fgets(line, sizeof(line), stdin)) {
    if (sscanf(line, "%7s %d %d", verb, &part, &index) == 3 && part >= 0 && part < parts &&
        index >= 0 && index < MAX_PORTS) {
      shared[part].wanted[index] = strcmp(verb, "open") == 0;
      while (shared[part].open[index] != shared[part].wanted[index]) usleep(1000);
    }
    if (strcmp(line, "stop\n") == 0) {
      /* Servers go on, until all clients have heard them. */
      for (int i = 0; i < parts; i++) shared[i].stop = true;
      for (int i = 0; i < parts; i++)
        if (strncmp(argv[i + 1], "serve", 5) != 0) waitpid(children[i], NULL, 0);
      report();
      return 0;
    }
    report();
  }
  return 0;
}
