/*
 * pings ADDRESS [MS]: sends an echo request every 50 ms, or as often as it is told, until SIGTERM; then prints how many it
 * sent, and which were not answered. Of a silence of seconds it prints at its end how long it was and the time, in seconds.
 * busybox' ping loses answers itself when many arrive at once, after the other side has paused.
 */
#include <arpa/inet.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

enum { patience = 10000, silence = 4000, room = 1 << 20, most = 60000 }; /* ms, ms, bytes, pings */

static volatile sig_atomic_t ending;
static void end(int signal) { (void)signal; ending = 1; }

static long clock_ms(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
static long now(void) { return clock_ms(CLOCK_MONOTONIC); }

int main(int argc, char **argv) {
  static char answered[1 << 16];
  struct sockaddr_in to = {.sin_family = AF_INET};
  int icmp = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), size = room, sent = 0, missing = 0;
  int interval = argc > 2 ? atoi(argv[2]) : 50;
  long next = now(), last = 0, heard = next;

  if (argc < 2 || icmp < 0 || !inet_aton(argv[1], &to.sin_addr) || connect(icmp, (void *)&to, sizeof to) ||
      setsockopt(icmp, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size))
    return fprintf(stderr, "pings: no such address, or not root\n"), 1;
  signal(SIGTERM, end);
  while (!ending || (missing > 0 && now() < last + patience)) {
    struct { struct iphdr ip; struct icmphdr icmp; } came;
    struct pollfd readable = {icmp, POLLIN, 0};

    if (!ending && sent < most && now() >= next) {
      /* The checksum is of four words, and all but two are zero. */
      struct icmphdr echo = {.type = ICMP_ECHO, .checksum = htons(~((ICMP_ECHO << 8) + sent)), .un.echo.sequence = htons(sent)};
      /* It waits for no room: a driver domain that is gone leaves the queue full. */
      if (send(icmp, &echo, sizeof echo, MSG_DONTWAIT) == sizeof echo)
        sent++, missing++;
      last = now();
      next = last + interval;
    }
    if (poll(&readable, 1, interval / 2) <= 0 || recv(icmp, &came, sizeof came, 0) != sizeof came)
      continue;
    char *one = &answered[ntohs(came.icmp.un.echo.sequence)];
    if (came.icmp.type != ICMP_ECHOREPLY || *one)
      continue;
    *one = 1, missing--;
    if (now() - heard > silence)
      printf("silent for %.2f until %.2f\n", (now() - heard) / 1e3, clock_ms(CLOCK_REALTIME) / 1e3), fflush(stdout);
    heard = now();
  }
  for (int n = 0; n < sent; n++)
    if (!answered[n])
      printf("lost %d\n", n);
  printf("%d pings\n", sent);
  return 0;
}
