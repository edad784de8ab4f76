/*
 * Sends UDP packets of 64 bytes as fast as it can, and prints what one took of a processor, in ns: `packets ADDRESS COUNT`. A veth
 * takes a packet all the way within the sender's call, so that this is the whole way's cost. Without arguments it holds the
 * port that they are sent to and reads nothing, which is the least that a receiver can cost.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PORT = 9999, BATCH = 32, SIZE = 64 };

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	int fd = socket(AF_INET, SOCK_DGRAM, 0), least = 1;
	static char payload[SIZE];
	struct iovec part = {payload, SIZE};
	struct mmsghdr messages[BATCH] = {0};
	long count, sent = 0;
	double before;

	if (argc < 3) {
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof least);
		if (bind(fd, (void *)&address, sizeof address)) {
			perror("bind");
			return 1;
		}
		pause();
		return 0;
	}
	inet_pton(AF_INET, argv[1], &address.sin_addr);
	count = atol(argv[2]);
	if (connect(fd, (void *)&address, sizeof address)) {
		perror("connect");
		return 1;
	}
	for (int i = 0; i < BATCH; i++) {
		messages[i].msg_hdr.msg_iov = &part;
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	before = cpu_ns();
	while (sent < count) {
		int n = sendmmsg(fd, messages, BATCH, 0);

		if (n < 0) {
			perror("sendmmsg");
			return 1;
		}
		sent += n;
	}
	printf("%.1f\n", (cpu_ns() - before) / sent);
	return 0;
}
