/*
 * A netlink socket that a thread of its own reads and passes on over a socketpair.
 *
 * Node cannot poll a netlink socket as a stream, and libuv's poll ends the handle at the error that an overflow raises.
 * This reader does nothing else, so that a garbage collection does not cause an overflow; one that occurs is reported as
 * a frame of its own, after which everything has to be read again.
 *
 * Frames in both directions: a 32 bit number in the machine's byte order, the size of the datagram that follows. Size 0,
 * sent from here only, is an overflow. It is sent when the socket has been emptied, because until then the kernel goes on
 * dropping (NETLINK_S_CONGESTED in net/netlink/af_netlink.c), also answers, without another error.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LARGEST = 256 * 1024 };

struct channel {
	int node, netlink;
	/* A frame with a datagram of the kernel; and one from Node, as far as it has arrived. */
	char out[4 + LARGEST], in[4 + LARGEST];
	size_t in_used;
};

static bool pass_on(struct channel *c, uint32_t size)
{
	memcpy(c->out, &size, 4);
	for (size_t sent = 0; sent < 4 + size;) {
		ssize_t n = send(c->node, c->out + sent, 4 + size - sent, MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR)
			return false;
		sent += n > 0 ? (size_t)n : 0;
	}
	return true;
}

/* Passes on all datagrams that wait; one that is too large for the buffer counts as dropped. */
static bool receive(struct channel *c)
{
	bool lost = false;

	for (;;) {
		ssize_t n = recv(c->netlink, c->out + 4, LARGEST, MSG_DONTWAIT | MSG_TRUNC);

		if (n > 0 && n <= LARGEST) {
			if (!pass_on(c, n))
				return false;
		} else if (n > LARGEST || (n < 0 && errno == ENOBUFS)) {
			lost = true;
		} else if (n == 0 || errno == EAGAIN) {
			return !lost || pass_on(c, 0);
		} else if (errno != EINTR) {
			return false;
		}
	}
}

/* Answers a request that the kernel did not even take, as the kernel would answer one that it refuses. */
static bool refuse(struct channel *c, const char *request, uint32_t size, int error)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
	} answer = {.header = {.nlmsg_len = sizeof answer, .nlmsg_type = NLMSG_ERROR}, .error.error = -error};

	if (size < sizeof answer.error.msg)
		return true;
	memcpy(&answer.error.msg, request, sizeof answer.error.msg);
	answer.header.nlmsg_seq = answer.error.msg.nlmsg_seq;
	memcpy(c->out + 4, &answer, sizeof answer);
	return pass_on(c, sizeof answer);
}

/* Sends Node's requests to the kernel, each as one datagram. */
static bool forward(struct channel *c)
{
	ssize_t n = read(c->node, c->in + c->in_used, sizeof c->in - c->in_used);
	uint32_t size;
	size_t done = 0;

	if (n <= 0)
		return false;
	c->in_used += n;
	for (; c->in_used - done >= 4; done += 4 + size) {
		memcpy(&size, c->in + done, 4);
		if (size > LARGEST)
			return false;
		if (c->in_used - done < 4 + size)
			break;
		while (send(c->netlink, c->in + done + 4, size, 0) < 0) {
			if (errno == EINTR)
				continue;
			/* ENOBUFS without memory, EMSGSIZE above the send buffer: this request fails, no other does. */
			if (!refuse(c, c->in + done + 4, size, errno))
				return false;
			break;
		}
	}
	memmove(c->in, c->in + done, c->in_used - done);
	c->in_used -= done;
	return true;
}

static void *run(void *argument)
{
	struct channel *c = argument;
	struct pollfd fds[] = {{.fd = c->netlink, .events = POLLIN}, {.fd = c->node, .events = POLLIN}};

	while (poll(fds, 2, -1) >= 0 || errno == EINTR)
		if ((fds[0].revents && !receive(c)) || (fds[1].revents && !forward(c)))
			break;
	close(c->netlink);
	close(c->node);
	free(c);
	return NULL;
}

/*
 * Has the kernel pass on, of what is announced of neighbours, entries of one protocol number only: a bridge announces each MAC address that it
 * learns in the same group, and a LAN each host that comes and goes. Nothing else is held back, nor is what was asked for.
 */
static bool only_neighbours_of(int fd, int protocol)
{
	struct sock_filter code[] = {
		/* nlmsg_type, whose bytes are the other way round for the filter. */
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RTM_NEWNEIGH << 8, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RTM_DELNEIGH << 8, 0, 9),
		/* A row of a dump. */
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_flags)),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NLM_F_MULTI, 7, 0),
		/* The attribute's place, 0 for none. */
		BPF_STMT(BPF_LDX | BPF_IMM, NDA_PROTOCOL),
		BPF_STMT(BPF_LD | BPF_IMM, NLMSG_LENGTH(sizeof(struct ndmsg))),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_NLATTR),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 4, 0),
		BPF_STMT(BPF_MISC | BPF_TAX, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_IND, NLA_HDRLEN),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, protocol, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
	uint32_t group = RTNLGRP_NEIGH;

	return !setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) &&
	       !setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group);
}

/* Opens the socket and joins the groups; with CAP_NET_ADMIN the receive buffer may exceed the system's limit. */
static int open_netlink(int protocol, const uint32_t *groups, int count, int neighbours, int buffer)
{
	struct sockaddr_nl any = {.nl_family = AF_NETLINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), on = 1, error;

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
	/* The reasons of errors in words, since Linux 4.12; and of a request only the header in them. */
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
	if (!bind(fd, (struct sockaddr *)&any, sizeof any)) {
		while (count > 0 && !setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[count - 1], 4))
			count--;
		if (count == 0 && (!neighbours || only_neighbours_of(fd, neighbours)))
			return fd;
	}
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

/*
 * Opens a socket, starts its thread, and stores Node's end of the socketpair in *fd. Closing that end ends the thread.
 * @protocol  NETLINK_ROUTE or another
 * @groups  its multicast groups' numbers
 * @neighbours  of NETLINK_ROUTE: the protocol number of the neighbour entries to be told of, 0 for none
 * @buffer  size of the receive buffer in bytes
 * Returns 0 or an errno.
 */
int netlink_thread_start(int protocol, const uint32_t *groups, int count, int neighbours, int buffer, int *fd)
{
	struct channel *c = calloc(1, sizeof *c);
	int pair[2] = {-1, -1}, error = ENOMEM;
	pthread_attr_t attributes;
	sigset_t all, before;
	pthread_t thread;

	if (!c)
		return error;
	c->netlink = open_netlink(protocol, groups, count, neighbours, buffer);
	if (c->netlink < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		error = errno;
	} else {
		c->node = pair[1];
		/* Signals are for Node's threads. The thread is detached, and does not keep the process running. */
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		pthread_attr_init(&attributes);
		pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
		error = pthread_create(&thread, &attributes, run, c);
		pthread_attr_destroy(&attributes);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		*fd = pair[0];
	}
	if (error) {
		close(pair[0]);
		close(pair[1]);
		close(c->netlink);
		free(c);
	}
	return error;
}
