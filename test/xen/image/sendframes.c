/*
 * sendframes DEVICE: sends each line of its input, a frame in hex, unchanged, and exits. For guests that forge frames,
 * which busybox has no program for.
 */
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/socket.h>

int main(int argc, char **argv) {
  struct sockaddr_ll to = {.sll_family = AF_PACKET};
  int packets = socket(AF_PACKET, SOCK_RAW, 0); /* 0: it receives nothing */
  char line[4096];

  if (argc != 2 || packets < 0 || !(to.sll_ifindex = if_nametoindex(argv[1])))
    return fprintf(stderr, "sendframes: no such device, or no packet socket\n"), 1;
  while (fgets(line, sizeof line, stdin)) {
    unsigned char frame[sizeof line / 2];
    unsigned byte;
    size_t length = 0;

    while (sscanf(line + 2 * length, "%2x", &byte) == 1)
      frame[length++] = byte;
    if (length > 0 && sendto(packets, frame, length, 0, (void *)&to, sizeof to) < 0)
      return perror("sendframes"), 1;
  }
  return 0;
}
